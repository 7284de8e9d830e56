import Kernels
import LagKV
import SparseAttention

extension Session {
  /// The LRSA attention of committed tokens once more: the bits that `step` gave when they were appended, however either was
  /// cut into calls. Training recomputes a chunk with it before the chunk's backward pass.
  ///
  /// Tokens whose partition, or the one before, has left the window are replayed from the archive.
  ///
  /// - Parameters:
  ///   - first: absolute position of the first query.
  ///   - queries: `[tokens, queryHeads, headDim]`, finite.
  ///   - keys: `[tokens, kvHeads, headDim]`, recomputed: rounded to the session's type they must be the stored bits; nil: not
  ///     checked. `values` likewise.
  ///   - out: f32, the queries' shape.
  ///   - logSumExp: f32 `[tokens, queryHeads]`.
  /// - Throws: `invalidArgument` for tokens that are not committed, or not archived where that is needed; `recomputeMismatch`
  ///   with layer, head and token; `nonFinite`, `notFound`, `corrupt`, `tooLarge`.
  public func stepAt(
    layer: Int, first: Int, queries: TensorView, keys: TensorView? = nil, values: TensorView? = nil,
    scale: Float? = nil, out: MutableTensorView, logSumExp: LogSumExpView
  ) throws(StoreError) {
    try checkLayer(layer)
    let shape = try attentionShape(queries, scale, out.readOnly, logSumExp)
    try checkFinite(queries, layer: layer)
    let segments = try replayed(layer: layer, first: first, count: queries.tokens)
    let decoder = FrameDecoder()
    for (plane, tensor) in [keys, values].enumerated() {
      guard let tensor else { continue }
      try checkRecomputed(tensor, plane: plane, layer, segments, decoder)
    }
    for segment in segments {
      let part = segment.positions.lowerBound - first..<segment.positions.upperBound - first
      let running = RunningAttention(
        AttentionAccumulator(
          shape: shape, queries: queries.slice(tokens: part),
          firstQueryPosition: segment.positions.lowerBound, pool: store.options.pool))
      _ = try scan(
        plan.layers[layer].visible(segment), layer: layer, decoder: decoder, into: running)
      running.accumulator.finish(
        out: out.slice(tokens: part), logSumExp: logSumExp.slice(tokens: part), pool: store.options.pool)
    }
  }

  /// The pieces of a run of committed tokens, if everything that they saw is still there.
  private func replayed(layer: Int, first: Int, count: Int) throws(StoreError) -> [TokenGeometry.Segment] {
    let plan = plan.layers[layer]
    let tokens = try store.environment.read { view throws(StoreError) in try record(view).tokens }
    guard first >= 0, count >= 1, count <= tokens, first <= tokens - count else {
      throw StoreError(
        .invalidArgument, "tokens \(first) and \(count - 1) more are not all among the session's \(tokens)",
        session: configuration.name, layer: layer)
    }
    let segments = plan.geometry.segments(from: first, count: count)
    for case .partition(let p, _, _) in segments where !plan.archive && max(0, p - 1) < plan.scored(tokens) {
      throw StoreError(
        .invalidArgument,
        "partition \(max(0, p - 1)) has left the window and the session keeps no archive: create it with one",
        session: configuration.name, layer: layer, partition: max(0, p - 1))
    }
    return segments
  }

  /// Compares recomputed rows, rounded to the session's type, with the stored ones.
  private func checkRecomputed(
    _ tensor: TensorView, plane: Int, _ layer: Int, _ segments: [TokenGeometry.Segment],
    _ decoder: FrameDecoder
  ) throws(StoreError) {
    let c = configuration
    let what = plane == 0 ? "keys" : "values"
    let first = segments.first?.positions.lowerBound ?? 0
    let count = (segments.last?.positions.upperBound ?? 0) - first
    guard tensor.tokens == count, tensor.heads == c.kvHeads, tensor.headDim == c.headDim else {
      throw StoreError(
        .invalidArgument,
        "\(what) are [\(tensor.tokens), \(tensor.heads), \(tensor.headDim)]; expected are"
          + " [\(count), \(c.kvHeads), \(c.headDim)]", session: c.name, layer: layer)
    }
    let rowBytes = plan.layers[layer].shape.rowBytes
    let rounded = UnsafeMutableRawBufferPointer.allocate(byteCount: rowBytes, alignment: 64)
    defer { rounded.deallocate() }
    try store.environment.read { view throws(StoreError) in
      let record = try record(view)
      let rows = LayerRows(
        stored: StoredLayer(record: record, plan: self.plan(of: record).layers[layer], layer: layer),
        staged: nil, validated: store.validated, decoder: decoder)
      for segment in segments {
        for run in try rows.runs(of: segment, view) {
          let positions = (run.first..<run.first + run.count).clamped(to: segment.positions)
          for position in positions {
            for head in run.heads {
              lagoon_convert(
                tensor.row(token: position - first, head: head), tensor.elementType.rawValue,
                rounded.baseAddress,
                c.elementType.rawValue, c.headDim)
              let stored =
                (plane == 0 ? run.keys : run.values) + (head - run.heads.lowerBound) * run.headStride
                + (position - run.first) * rowBytes
              guard rounded.elementsEqual(UnsafeRawBufferPointer(start: stored, count: rounded.count)) else {
                throw StoreError(
                  .recomputeMismatch,
                  "the recomputed \(what) are not those that were stored: weights, threads and dropout masks must stay as"
                    + " they were", session: c.name, layer: layer, head: head, token: position)
              }
            }
          }
        }
      }
    }
  }
}

extension LayerRows {
  /// The committed rows among which a segment lies, which begin at positions `first` of their runs.
  fileprivate func runs(
    of segment: TokenGeometry.Segment, _ view: borrowing ReadTransaction
  ) throws(StoreError) -> [RowRun] {
    switch segment {
    case .sinks(let positions): try keptSlabRuns(0..<positions.upperBound, view)
    case .partition(let p, let positions, _):
      try windowRuns(p, rows: positions.upperBound - plan.partitionStart(p), view)
    }
  }
}
