import LagKV

/// Which rows of a layer get no gradients: those of tokens before a position.
struct DetachedRows {
  /// Tokens before it get none.
  let before: Int
  /// By head the first row of the kept stream that gets one. Rows of a head are in order of position.
  let firstKept: [Int]

  /// - Throws: `corrupt`, `moved`, `notFound`.
  init(
    before: Int, layer: Int, of session: Session, tokens: Int, decoder: FrameDecoder
  ) throws(StoreError) {
    self.before = before
    let plan = session.plan.layers[layer]
    let heads = plan.shape.kvHeads
    let (partition, inside) = max(0, before - plan.sinks).quotientAndRemainder(dividingBy: plan.lag)
    guard before > plan.sinks, inside > 0, plan.kept > 0, partition < plan.scored(tokens) else {
      let row = before <= plan.sinks ? before : plan.sinks + partition * plan.kept
      firstKept = Array(repeating: min(row, plan.keptRows(tokens)), count: heads)
      return
    }
    // The boundary cuts through a partition, and each head has kept other tokens of it.
    let rows = plan.sinks + partition * plan.kept..<plan.sinks + (partition + 1) * plan.kept
    var first = Array(repeating: rows.lowerBound, count: heads)
    try session.store.environment.read { view throws(StoreError) in
      let source = LayerRows(
        stored: StoredLayer(record: try session.record(view, ifTokens: tokens), plan: plan, layer: layer),
        staged: nil, validated: session.store.validated, decoder: decoder)
      try source.forEachKeptRun(rows, view) { run throws(StoreError) in
        guard let positions = run.positions else { return }
        for head in run.heads {
          let of = positions + (head - run.heads.lowerBound) * run.positionStride
          for row in 0..<run.count where Int(of[row]) < before { first[head] += 1 }
        }
      }
    }
    firstKept = first
  }

  /// Cuts a run into parts that get gradients and parts that get none.
  func parts(of run: RowRun, _ place: RowPlace, rowBytes: Int) -> [(run: RowRun, isDetached: Bool)] {
    func cut(_ run: RowRun, _ row: Int) -> [(run: RowRun, isDetached: Bool)] {
      let detached = min(max(0, row - run.first), run.count)
      if detached == 0 { return [(run, false)] }
      if detached == run.count { return [(run, true)] }
      return [
        (run.dropping(0, limit: detached, rowBytes: rowBytes), true),
        (run.dropping(detached, limit: run.count, rowBytes: rowBytes), false),
      ]
    }
    guard case .kept = place else { return cut(run, before) }
    let inside = run.first..<run.first + run.count
    let firsts = run.heads.map { firstKept[$0] }
    if Set(firsts.map { min(max($0, inside.lowerBound), inside.upperBound) }).count == 1 {
      return cut(run, firsts[0])
    }
    return run.heads.flatMap { cut(run.head($0), firstKept[$0]) }
  }
}
