import LagKV
import SparseAttention

extension BackwardPass {
  /// Attends backwards from a chunk: its queries' gradients, and those of its keys and values, which no earlier chunk adds to.
  func accumulate(
    _ call: BackwardOrder.Call, _ shape: AttentionShape, _ detached: DetachedRows, queries: TensorView,
    out: TensorView, logSumExp: LogSumExpView, dOut: TensorView, dLogSumExp: LogSumExpView?
  ) throws(StoreError) -> ChunkGradients {
    let plan = session.plan.layers[call.layer]
    let first = call.tokens.lowerBound
    let keyCount = call.tokens.count * shape.kvHeads * shape.headDim
    var gradients = ChunkGradients(
      queries: [Float](repeating: 0, count: call.tokens.count * shape.queryHeads * shape.headDim),
      keys: [Float](repeating: 0, count: keyCount), values: [Float](repeating: 0, count: keyCount))
    let accumulators = layers[call.layer]
    for segment in plan.geometry.segments(from: first, count: call.tokens.count).reversed() {
      let positions = segment.positions
      let part = positions.lowerBound - first..<positions.upperBound - first
      if case .partition(let p, _, _) = segment { try enter(p, call.layer) }
      let running = RunningBackward(
        AttentionBackward(
          shape: shape, queries: queries.slice(tokens: part), out: out.slice(tokens: part),
          logSumExp: logSumExp.slice(tokens: part), dOut: dOut.slice(tokens: part),
          dLogSumExp: dLogSumExp?.slice(tokens: part), firstQueryPosition: positions.lowerBound,
          pool: session.store.options.pool),
        accumulators, plan: plan, detached: detached)
      _ = try session.scan(
        plan.visible(segment), layer: call.layer, decoder: decoder, ifTokens: tokens, into: running)
      gradients.queries.withUnsafeMutableBytes { bytes in
        // As long as the call's queries, so it has an address.
        guard let address = bytes.baseAddress else { return }
        running.backward.finish(
          dQueries: MutableTensorView.tokenMajor(
            address, tokens: call.tokens.count, heads: shape.queryHeads, headDim: shape.headDim
          ).slice(tokens: part), pool: session.store.options.pool)
      }
      take(segment, part, shape, accumulators, plan, into: &gradients)
    }
    return gradients
  }

  /// Goes on to a partition: what its kept rows got as such joins the terms of the next partition, which are there, and the
  /// place of the one before is made ready.
  private func enter(_ p: Int, _ layer: Int) throws(StoreError) {
    guard layers[layer].entered != p else { return }
    layers[layer].entered = p
    let plan = session.plan.layers[layer]
    let (layout, base) = (layers[layer].layout, layers[layer].base)
    if p > 0 { layout.clearWindow(p - 1, base) }
    guard plan.kept > 0, p < plan.scored(tokens) else { return }
    let window = layout.window(p, base)
    let rowBytes = layout.headDim * 4
    let range = plan.sinks + p * plan.kept..<plan.sinks + (p + 1) * plan.kept
    try session.store.environment.read { view throws(StoreError) in
      let rows = LayerRows(
        stored: StoredLayer(record: try session.record(view, ifTokens: tokens), plan: plan, layer: layer),
        staged: nil,
        validated: session.store.validated, decoder: decoder)
      try rows.forEachKeptRun(range, view) { run throws(StoreError) in
        for head in run.heads {
          for row in 0..<run.count {
            // Positions of a validated slab or frame, checked all the same before anything is written by them.
            let place = (head - run.heads.lowerBound) * run.positionStride + row
            let slot = Int(run.positions?[place] ?? 0) - plan.partitionStart(p)
            guard run.positions != nil, (0..<plan.lag).contains(slot) else {
              throw StoreError(
                .corrupt, "a kept row of partition \(p) stands outside of it",
                session: session.configuration.name,
                layer: layer, head: head, partition: p)
            }
            let from = layout.kept(run.first + row, base).from(0, head: head, rowBytes: rowBytes)
            let to = window.from(slot, head: head, rowBytes: rowBytes)
            for (source, target) in [(from.keys, to.keys), (from.values, to.values)] {
              let source = source.assumingMemoryBound(to: Float.self)
              let target = target.assumingMemoryBound(to: Float.self)
              for channel in 0..<layout.headDim { target[channel] += source[channel] }
            }
          }
        }
      }
    }
  }

  /// Copies the accumulators of a segment's rows out, from `[kvHeads, rows, headDim]` to `[tokens, kvHeads, headDim]`.
  private func take(
    _ segment: TokenGeometry.Segment, _ part: Range<Int>, _ shape: AttentionShape,
    _ accumulators: LayerAccumulators, _ plan: LayerPlan, into gradients: inout ChunkGradients
  ) {
    let rowBytes = shape.headDim * 4
    let (layout, base) = (accumulators.layout, accumulators.base)
    for (position, token) in zip(segment.positions, part) {
      let rows: GradientLayout.Rows =
        if case .partition(let p, _, _) = segment {
          layout.window(p, base).from(position - plan.partitionStart(p), head: 0, rowBytes: rowBytes)
        } else {
          layout.kept(position, base)
        }
      for head in 0..<shape.kvHeads {
        let source = rows.from(0, head: head, rowBytes: rowBytes)
        let target = (token * shape.kvHeads + head) * shape.headDim
        let keys = source.keys.assumingMemoryBound(to: Float.self)
        let values = source.values.assumingMemoryBound(to: Float.self)
        for channel in 0..<shape.headDim {
          gradients.keys[target + channel] = keys[channel]
          gradients.values[target + channel] = values[channel]
        }
      }
    }
  }
}
