import Foundation
import KVStore
import Kernels
import LagKV
import SparseAttention
import Synchronization
import TestSupport

/// A folder of its own for one test's store; removed in the end.
final class StoreFixture {
  let path: String

  init() {
    path =
      FileManager.default.temporaryDirectory.appendingPathComponent("lagoon-store-\(UUID().uuidString)").path
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  var dataFile: String { "\(path)/data.mdb" }

  func open(
    quota: Int = 1 << 30, durability: Durability = .process, staged: Int = 1 << 30, pool: WorkerPool? = nil
  ) throws -> KVStore {
    try KVStore(
      path: path,
      options: StoreOptions(
        quotaBytes: quota, durability: durability, stagedBytesTotal: staged, stagedBytesPerOwner: staged,
        pool: pool, clock: { 1_700_000_000 }))
  }
}

enum Waiting {
  struct TimedOut: Error {}

  /// Waits, at most 20 seconds, until `condition` holds.
  static func until(_ condition: () throws -> Bool) throws {
    let deadline = Date().addingTimeInterval(20)
    while try !condition() {
      guard Date() < deadline else { throw TimedOut() }
      usleep(1000)
    }
  }
}

extension DispatchGroup {
  /// Runs `body` on a thread of its own. A queue's threads are as many as cores, and other tests may hold them for minutes.
  func thread(_ body: @escaping @Sendable () -> Void) {
    enter()
    Thread.detachNewThread {
      body()
      self.leave()
    }
  }
}

/// A document: rows that depend on layer, position and head alone, so any cut of it gives the same.
struct Document {
  var kvHeads: Int
  var headDim: Int
  var queryHeads: Int
  var seed: UInt64 = 1

  enum Part: UInt64 {
    case keys = 1
    case values = 2
    case queries = 3
  }

  /// f32 `[tokens, heads, headDim]`
  func rows(_ part: Part, layer: Int, _ tokens: Range<Int>) -> [Float] {
    let heads = part == .queries ? queryHeads : kvHeads
    var out: [Float] = []
    out.reserveCapacity(tokens.count * heads * headDim)
    for token in tokens {
      var generator = SeededGenerator(
        seed &* 1_000_003 &+ part.rawValue << 56 &+ UInt64(layer) << 40 &+ UInt64(token))
      for _ in 0..<heads * headDim {
        // 24 random bits in -1..<1; sums of two give a hump.
        let bits = generator.next()
        let a = Float(Int32(truncatingIfNeeded: bits) >> 8) / Float(1 << 23)
        let b = Float(Int32(truncatingIfNeeded: bits >> 32) >> 8) / Float(1 << 23)
        out.append(a + b)
      }
    }
    return out
  }

  func ids(_ tokens: Range<Int>) -> [UInt32] {
    tokens.map { UInt32(truncatingIfNeeded: $0 &* 2_654_435_761) }
  }
}

extension [Float] {
  /// Calls `body` with a token-major view of the elements.
  func view<R>(_ tokens: Int, _ heads: Int, _ headDim: Int, _ body: (TensorView) throws -> R) rethrows -> R {
    try withUnsafeBytes {
      let base = $0.baseAddress ?? UnsafeRawPointer(bitPattern: 64)!
      return try body(
        .tokenMajor(base, elementType: .float32, tokens: tokens, heads: heads, headDim: headDim))
    }
  }
}

/// Attention of one call.
struct Attended: Equatable {
  /// `[tokens, queryHeads, headDim]`
  var out: [Float] = []
  /// `[tokens, queryHeads]`
  var logSumExp: [Float] = []
  var tokens = 0

  static func + (a: Attended, b: Attended) -> Attended {
    Attended(out: a.out + b.out, logSumExp: a.logSumExp + b.logSumExp, tokens: b.tokens)
  }

  func maximumDifference(_ other: Attended) -> Float {
    guard out.count == other.out.count, logSumExp.count == other.logSumExp.count else { return .infinity }
    let a = zip(out, other.out).map { abs($0 - $1) }.max() ?? 0
    let b = zip(logSumExp, other.logSumExp).map { $0 == $1 ? 0 : abs($0 - $1) }.max() ?? 0
    return max(a, b)
  }

  /// Calls `body` with places for the results of `queries`.
  static func collect(
    _ queries: [Float], _ document: Document,
    _ body: (TensorView, MutableTensorView, LogSumExpView) throws -> Int
  ) rethrows -> Attended {
    let heads = document.queryHeads
    let tokens = queries.count / (heads * document.headDim)
    var result = Attended(
      out: [Float](repeating: .nan, count: queries.count),
      logSumExp: [Float](repeating: .nan, count: tokens * heads))
    result.tokens = try queries.view(tokens, heads, document.headDim) { view in
      try result.out.withUnsafeMutableBytes { out in
        try result.logSumExp.withUnsafeMutableBytes { lse in
          try body(
            view, .tokenMajor(out.baseAddress!, tokens: tokens, heads: heads, headDim: document.headDim),
            .tokenMajor(lse.baseAddress!, tokens: tokens, heads: heads))
        }
      }
    }
    return result
  }
}

extension StagedTail {
  func append(_ document: Document, _ tokens: Range<Int>, layers: Range<Int>? = nil) throws {
    for layer in layers ?? 0..<session.configuration.layers {
      try document.rows(.keys, layer: layer, tokens).view(tokens.count, document.kvHeads, document.headDim) {
        keys in
        try document.rows(.values, layer: layer, tokens).view(
          tokens.count, document.kvHeads, document.headDim
        ) {
          try append(layer: layer, keys: keys, values: $0)
        }
      }
    }
  }

  func step(_ document: Document, _ tokens: Range<Int>, layer: Int) throws -> Attended {
    try Attended.collect(document.rows(.queries, layer: layer, tokens), document) { queries, out, lse in
      try document.rows(.keys, layer: layer, tokens).view(tokens.count, document.kvHeads, document.headDim) {
        keys in
        try document.rows(.values, layer: layer, tokens).view(
          tokens.count, document.kvHeads, document.headDim
        ) {
          try step(layer: layer, queries: queries, keys: keys, values: $0, out: out, logSumExp: lse)
        }
      }
      return self.tokens[layer]
    }
  }

  func attend(_ document: Document, queries tokens: Range<Int>, layer: Int) throws -> Attended {
    try Attended.collect(document.rows(.queries, layer: layer, tokens), document) {
      try attend(layer: layer, queries: $0, out: $1, logSumExp: $2)
    }
  }
}

extension Session {
  func attend(
    _ document: Document, queries tokens: Range<Int>, layer: Int, ifTokens: Int? = nil
  ) throws -> Attended {
    try Attended.collect(document.rows(.queries, layer: layer, tokens), document) {
      try attend(layer: layer, queries: $0, ifTokens: ifTokens, out: $1, logSumExp: $2)
    }
  }

  /// Every row of a layer.
  func everything(_ layer: Int, maxBytes: Int = 1 << 30) throws -> FetchedRows {
    try fetch(layer: layer, firstRow: 0, rows: .max >> 1, maxBytes: maxBytes)
  }

  /// Appends tokens in the given cuts and commits after each `commitEvery` cuts.
  func ingest(_ document: Document, _ cuts: [Range<Int>], commitEvery: Int = 1, capacity: Int = 4096) throws {
    let account = StagingAccount(cap: 1 << 30)
    let tail = try begin(capacity: capacity, owner: account)
    var ids: [UInt32] = []
    for (i, cut) in cuts.enumerated() {
      try tail.append(document, cut)
      ids += document.ids(cut)
      if (i + 1) % commitEvery == 0 || i == cuts.count - 1 {
        try tail.commit(tokenIDs: ids, keepWriting: i < cuts.count - 1)
        ids = []
      }
    }
  }
}

/// `range` cut into pieces of `size` tokens.
func pieces(_ range: Range<Int>, _ size: Int) -> [Range<Int>] {
  stride(from: range.lowerBound, to: range.upperBound, by: size).map { $0..<min($0 + size, range.upperBound) }
}

func randomPieces(_ range: Range<Int>, most: Int, _ generator: inout SeededGenerator) -> [Range<Int>] {
  var cuts: [Range<Int>] = []
  var start = range.lowerBound
  while start < range.upperBound {
    let end = min(range.upperBound, start + Int.random(in: 1...most, using: &generator))
    cuts.append(start..<end)
    start = end
  }
  return cuts
}

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

func configuration(
  _ name: String = "book", layers: Int = 2, document: Document, type: ElementType = .float32,
  policy: PolicyKind = .lagkv, sinks: Int = 4, lag: Int = 16, ratio: Double = 0.25, exempt: Set<Int> = [],
  archive: Bool = false, codec: Codec = .raw, ephemeral: Bool = false
) throws -> SessionConfiguration {
  try SessionConfiguration(
    name: name, layers: layers, kvHeads: document.kvHeads, headDim: document.headDim, elementType: type,
    retention: RetentionParameters(
      policy: policy, sinks: sinks, lag: lag, ratio: ratio, seed: 7, exemptLayers: exempt),
    archive: archive, codec: codec, ephemeral: ephemeral)
}

/// The code of the `StoreError` that `body` throws; nil: it throws none.
func code(_ body: () throws -> Void) -> StoreError.Code? {
  do {
    try body()
    return nil
  } catch let error as StoreError {
    return error.code
  } catch {
    return nil
  }
}

/// What went wrong on other threads.
final class Failures: Sendable {
  private let found = Mutex<[String]>([])
  func add(_ what: String) { found.withLock { $0.append(what) } }
  var all: [String] { found.withLock { $0 } }
}

final class Flag: Sendable {
  private let state = Atomic(false)
  func set() { state.store(true, ordering: .releasing) }
  var isSet: Bool { state.load(ordering: .acquiring) }
}
