import LagKV

/// Rows that a layer keeps.
public struct FetchedRows: Sendable, Hashable {
  /// Of the kept rows and the window behind them, in order of position.
  public var first: Int
  public var count: Int
  public var totalRows: Int
  /// Of `totalRows`, the last ones.
  public var windowRows: Int
  public var tokens: Int
  /// `[kvHeads, count]`, absolute.
  public var positions: [UInt32]
  /// `[kvHeads, count, headDim]` in the session's element type; empty with `positionsOnly`.
  public var keys: [UInt8]
  public var values: [UInt8]

  public init(
    first: Int, count: Int, totalRows: Int, windowRows: Int, tokens: Int, positions: [UInt32], keys: [UInt8],
    values: [UInt8]
  ) {
    self.first = first
    self.count = count
    self.totalRows = totalRows
    self.windowRows = windowRows
    self.tokens = tokens
    self.positions = positions
    self.keys = keys
    self.values = values
  }
}

extension Session {
  /// Rows `firstRow..<firstRow + rows` of every head with their positions: fewer where there are no more, or where more
  /// would pass `maxBytes`.
  ///
  /// - Throws: `invalidArgument` for a range outside the rows or a `maxBytes` that holds no row, `moved`, `notFound`,
  ///   `corrupt`.
  public func fetch(
    layer: Int, firstRow: Int, rows: Int, ifTokens: Int? = nil, maxBytes: Int, positionsOnly: Bool = false
  ) throws(StoreError) -> FetchedRows {
    try checkLayer(layer)
    let shape = plan.shape
    let rowBytes = shape.kvHeads * (4 + (positionsOnly ? 0 : 2 * shape.rowBytes))
    guard firstRow >= 0, rows >= 0 else {
      throw StoreError(
        .invalidArgument, "rows from \(firstRow), \(rows) of them", session: configuration.name)
    }
    guard rows == 0 || maxBytes >= rowBytes else {
      throw StoreError(
        .invalidArgument, "a row of all heads takes \(rowBytes) bytes, more than \(maxBytes)",
        session: configuration.name)
    }
    return try store.environment.read { view throws(StoreError) in
      let record = try self.record(view, ifTokens: ifTokens)
      let plan = self.plan(of: record).layers[layer]
      let total = plan.totalRows(record.tokens)
      let kept = plan.keptRows(record.tokens)
      guard firstRow <= total else {
        throw StoreError(
          .invalidArgument, "there is no row \(firstRow): the layer has \(total)",
          session: configuration.name,
          layer: layer)
      }
      let count = min(rows, total - firstRow, rows == 0 ? 0 : maxBytes / rowBytes)
      var copy = RowCopy(shape: shape, first: firstRow, count: count, positionsOnly: positionsOnly)
      let source = LayerRows(
        stored: StoredLayer(record: record, plan: plan, layer: layer), staged: nil,
        validated: store.validated, decoder: FrameDecoder())
      let range = firstRow..<firstRow + count
      try source.forEachKeptRun(range.clamped(to: 0..<kept), view) { run throws(StoreError) in
        copy.add(run, at: run.first)
      }
      for p in plan.window(record.tokens) {
        // The window's rows follow the kept ones; partition p's first is this one:
        let base = kept + (p - plan.scored(record.tokens)) * plan.lag
        let part = range.clamped(to: base..<base + plan.rows(of: p, at: record.tokens))
        guard !part.isEmpty else { continue }
        for run in try source.windowRuns(p, rows: part.upperBound - base, view) {
          let row = base + run.first - plan.partitionStart(p)
          let skip = max(0, part.lowerBound - row)
          guard skip < run.count else { continue }
          copy.add(run.dropping(skip, limit: run.count - skip, rowBytes: shape.rowBytes), at: row + skip)
        }
      }
      return FetchedRows(
        first: firstRow, count: count, totalRows: total, windowRows: plan.windowRows(record.tokens),
        tokens: record.tokens, positions: copy.positions, keys: copy.keys, values: copy.values)
    }
  }
}

/// Collects runs of rows head by head.
private struct RowCopy {
  let shape: SlabShape
  let first: Int
  let count: Int
  var positions: [UInt32]
  var keys: [UInt8]
  var values: [UInt8]

  init(shape: SlabShape, first: Int, count: Int, positionsOnly: Bool) {
    self.shape = shape
    self.first = first
    self.count = count
    positions = [UInt32](repeating: 0, count: shape.kvHeads * count)
    let bytes = positionsOnly ? 0 : shape.kvHeads * count * shape.rowBytes
    keys = [UInt8](repeating: 0, count: bytes)
    values = keys
  }

  /// - Parameter row: of the layer's rows, at which the run starts.
  mutating func add(_ run: RowRun, at row: Int) {
    for head in run.heads {
      let i = head - run.heads.lowerBound
      let target = head * count + row - first
      for r in 0..<run.count {
        positions[target + r] =
          run.positions.map { $0[i * run.positionStride + r] } ?? UInt32(run.first + r)
      }
      if keys.isEmpty { continue }
      let bytes = run.count * shape.rowBytes
      copy(run.keys + i * run.headStride, bytes, to: &keys, at: target * shape.rowBytes)
      copy(run.values + i * run.headStride, bytes, to: &values, at: target * shape.rowBytes)
    }
  }

  private func copy(_ source: UnsafeRawPointer, _ bytes: Int, to target: inout [UInt8], at offset: Int) {
    target.withUnsafeMutableBytes {
      UnsafeMutableRawBufferPointer(rebasing: $0[offset..<offset + bytes]).copyMemory(
        from: UnsafeRawBufferPointer(start: source, count: bytes))
    }
  }
}
