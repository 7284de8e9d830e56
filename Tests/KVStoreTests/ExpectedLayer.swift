import KVStore
import Kernels
import LagKV

/// What a layer must hold, computed from the whole document without the store.
struct ExpectedLayer {
  /// `[kvHeads][rows]`
  var positions: [[UInt32]]
  /// Rounded rows by position, `[kvHeads]` of `[tokens, headDim]` elements.
  var keys: [[UInt8]]
  var values: [[UInt8]]
  var keptRows: Int

  init(_ document: Document, _ configuration: SessionConfiguration, layer: Int, tokens: Int) {
    let type = configuration.elementType
    let retention = configuration.retention
    let geometry = retention.geometry(layer: layer)
    let policy = retention.makePolicy()
    let rowBytes = configuration.headDim * type.byteCount

    func rounded(_ part: Document.Part) -> [[UInt8]] {
      let rows = document.rows(part, layer: layer, 0..<tokens)
      return (0..<configuration.kvHeads).map { head in
        var bytes = [UInt8](repeating: 0, count: tokens * rowBytes)
        for token in 0..<tokens {
          rows.withUnsafeBytes { source in
            bytes.withUnsafeMutableBytes { target in
              lagoon_convert_scalar(
                source.baseAddress! + (token * configuration.kvHeads + head) * configuration.headDim * 4, 0,
                target.baseAddress! + token * rowBytes, type.rawValue, configuration.headDim)
            }
          }
        }
        return bytes
      }
    }
    let keys = rounded(.keys)
    let values = rounded(.values)
    let scored = geometry.scoredPartitions(tokens)
    positions = (0..<configuration.kvHeads).map { head in
      var kept = Array(0..<UInt32(min(tokens, retention.sinks)))
      keys[head].withUnsafeBytes { k in
        values[head].withUnsafeBytes { v in
          func block(_ p: Int) -> RowBlock {
            let offset = (retention.sinks + p * retention.lag) * rowBytes
            return RowBlock(
              keys: k.baseAddress! + offset, values: v.baseAddress! + offset, count: retention.lag)
          }
          for p in 0..<scored {
            let start = UInt32(retention.sinks + p * retention.lag)
            let selected = policy.select(
              keep: geometry.kept, partition: [block(p)], reference: [block(p + 1)],
              at: PartitionPlace(
                layer: layer, head: head, partition: p, lag: retention.lag, headDim: configuration.headDim,
                elementType: type))
            kept += selected.map { start + $0 }
          }
        }
      }
      if tokens > retention.sinks {
        kept += UInt32(retention.sinks + scored * retention.lag)..<UInt32(tokens)
      }
      return kept
    }
    keptRows = geometry.keptRows(tokens)
    self.keys = keys
    self.values = values
    guard configuration.codec == .q8, geometry.kept > 0 else { return }
    for head in 0..<configuration.kvHeads {
      for p in 0..<scored {
        let first = retention.sinks + p * geometry.kept
        round(Array(positions[head][first..<first + geometry.kept]), head, configuration)
      }
    }
  }

  /// Puts what 8 bits leave of the rows that one partition left in place of them.
  private mutating func round(_ rows: [UInt32], _ head: Int, _ configuration: SessionConfiguration) {
    let type = configuration.elementType
    let rowBytes = configuration.headDim * type.byteCount
    // As many equal blocks as needed, of at most 128 rows.
    let parts = (rows.count + 127) / 128
    let size = (rows.count + parts - 1) / parts
    for start in stride(from: 0, to: rows.count, by: size) {
      let part = rows[start..<min(start + size, rows.count)].map(Int.init)
      func gathered(_ source: [UInt8]) -> [UInt8] {
        part.flatMap { source[$0 * rowBytes..<($0 + 1) * rowBytes] }
      }
      var k = gathered(keys[head])
      var v = gathered(values[head])
      var block = [UInt8](repeating: 0, count: lagoon_q8_bytes(part.count, configuration.headDim))
      lagoon_q8_pack(k, v, type.rawValue, part.count, configuration.headDim, &block)
      lagoon_q8_unpack(block, part.count, configuration.headDim, type.rawValue, &k, &v)
      for (i, position) in part.enumerated() {
        keys[head].replaceSubrange(
          position * rowBytes..<(position + 1) * rowBytes, with: k[i * rowBytes..<(i + 1) * rowBytes])
        values[head].replaceSubrange(
          position * rowBytes..<(position + 1) * rowBytes, with: v[i * rowBytes..<(i + 1) * rowBytes])
      }
    }
  }

  /// What `fetch` must give.
  func fetched(_ range: Range<Int>, tokens: Int, rowBytes: Int) -> FetchedRows {
    func gather(_ source: [[UInt8]]) -> [UInt8] {
      positions.enumerated().flatMap { head, kept in
        range.flatMap { source[head][Int(kept[$0]) * rowBytes..<(Int(kept[$0]) + 1) * rowBytes] }
      }
    }
    return FetchedRows(
      first: range.lowerBound, count: range.count, totalRows: positions[0].count,
      windowRows: positions[0].count - keptRows, tokens: tokens, positions: positions.flatMap { $0[range] },
      keys: gather(keys), values: gather(values))
  }
}

extension Session {
  /// Whether every layer holds exactly what the document's first `tokens` tokens leave.
  func holds(_ document: Document, tokens: Int) throws -> Bool {
    try (0..<configuration.layers).allSatisfy { layer in
      let expected = ExpectedLayer(document, configuration, layer: layer, tokens: tokens)
      let rowBytes = configuration.headDim * configuration.elementType.byteCount
      let all = 0..<expected.positions[0].count
      return try everything(layer) == expected.fetched(all, tokens: tokens, rowBytes: rowBytes)
    }
  }
}
