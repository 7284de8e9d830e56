import LagKV
import SparseAttention

/// The gradients of one call: of its queries, and all that its own tokens' keys and values will ever get.
struct ChunkGradients {
  /// `[tokens, queryHeads, headDim]`
  var queries: [Float]
  /// `[tokens, kvHeads, headDim]`
  var keys: [Float]
  var values: [Float]
}

/// The backward pass of LRSA attention over a committed archive session, chunk by chunk from its end to its beginning, in each
/// chunk from the last layer to the first.
///
/// A call gives the gradients of its queries, keys and values and leaves what belongs to earlier tokens in accumulators: for
/// the rows of the kept stream, and for the window. A token's keys and values get the terms of its own partition and of the
/// next, and, if it was kept, those of all later ones; when its chunk's turn comes all of them are there. Reductions have a
/// fixed order: a pass repeats bit for bit for the same cut.
///
/// Used by one thread at a time. The accumulators go with the object.
public final class BackwardPass {
  public let session: Session
  /// The session's tokens, which stay as they are.
  public let tokens: Int
  /// Bytes of scratch that the pass takes now.
  public var scratchBytes: Int { scratch.reservedBytes }

  /// Most working memory that one call may take.
  private static let workingBytes = 256 << 20

  private let scratch: GradientScratch
  private let decoder = FrameDecoder()
  private var layers: [LayerAccumulators] = []
  private var order: BackwardOrder
  /// The last call, for one that is sent again.
  private var last: (digest: [UInt64], gradients: ChunkGradients)?
  private var isLost = false

  init(_ session: Session, record: SessionRecord, detachedBefore: Int) throws(StoreError) {
    let name = session.configuration.name
    self.session = session
    tokens = record.tokens
    guard session.configuration.archive else {
      throw StoreError(.invalidArgument, "a backward pass needs a session with an archive", session: name)
    }
    guard (0...tokens).contains(detachedBefore) else {
      throw StoreError(
        .invalidArgument, "gradients cannot be dropped before token \(detachedBefore) of \(tokens)",
        session: name)
    }
    let layouts = session.plan.layers.map { GradientLayout($0, tokens: record.tokens) }
    var offsets: [Int] = []
    var end = CheckedSize(0)
    for layout in layouts {
      guard let offset = end.value, let bytes = layout.byteCount else { break }
      offsets.append(offset)
      end = end + CheckedSize(bytes)
    }
    guard offsets.count == layouts.count, let bytes = end.value else {
      throw StoreError(.tooLarge, "the accumulators take more bytes than can be counted", session: name)
    }
    scratch = try session.store.scratch(bytes: bytes, for: name)
    order = BackwardOrder(layers: layouts.count, tokens: record.tokens)
    for (layer, layout) in layouts.enumerated() {
      layers.append(
        try LayerAccumulators(
          session.plan.layers[layer], layout, scratch, offset: offsets[layer], detachedBefore: detachedBefore)
      )
    }
  }

  /// The next chunk and layer.
  ///
  /// - Parameters:
  ///   - first: absolute position of the first query.
  ///   - queries: `[tokens, queryHeads, headDim]`, as in the forward pass, finite.
  ///   - out: what the forward pass gave, of the queries' shape; `logSumExp` f32 `[tokens, queryHeads]`.
  ///   - dOut: the gradient of `out`; `dLogSumExp` that of the log-sum-exp, nil: 0.
  ///   - detachedBefore: gradients to keys and values of tokens before this one are dropped. At most `first`, the same for all
  ///     layers of a chunk, and not more than for the chunk before.
  /// - Returns: the gradients. A call that is sent again gets the same once more.
  /// - Throws: `badOrder` with what is due; `backwardLost` after a failure half way; `invalidArgument`, `nonFinite`, `moved`,
  ///   `notFound`, `corrupt`, `tooLarge`.
  func step(
    layer: Int, first: Int, queries: TensorView, out: TensorView, logSumExp: LogSumExpView, dOut: TensorView,
    dLogSumExp: LogSumExpView?, scale: Float?, detachedBefore: Int
  ) throws(StoreError) -> ChunkGradients {
    let name = session.configuration.name
    guard !isLost else {
      throw StoreError(.backwardLost, "this backward pass failed half way: begin another", session: name)
    }
    try session.checkLayer(layer)
    let shape = try session.attentionShape(queries, scale, out, logSumExp)
    guard let bytes = AttentionBackward.workingBytes(shape: shape, tokens: queries.tokens),
      bytes <= Self.workingBytes
    else {
      throw StoreError(
        .tooLarge,
        "gradients of \(queries.tokens) × \(queries.heads) queries take more than \(Self.workingBytes) bytes of working memory:"
          + " send fewer queries in a call", session: name, layer: layer)
    }
    for (what, tensor) in [("queries", queries), ("out", out), ("the gradient of out", dOut)] {
      guard tensor.tokens == queries.tokens, tensor.heads == queries.heads, tensor.headDim == queries.headDim
      else {
        throw StoreError(
          .invalidArgument, "\(what) must have the queries' shape", session: name, layer: layer)
      }
      try session.checkFinite(tensor, layer: layer, what: what)
    }
    if let dLogSumExp, dLogSumExp.tokens != queries.tokens || dLogSumExp.heads != queries.heads {
      throw StoreError(
        .invalidArgument, "the gradient of the log-sum-exp must have one element per query and head",
        session: name,
        layer: layer)
    }
    guard first >= 0, queries.tokens >= 1, queries.tokens <= tokens, first <= tokens - queries.tokens else {
      throw StoreError(
        .invalidArgument,
        "tokens \(first) and \(queries.tokens - 1) more are not all among the session's \(tokens)",
        session: name, layer: layer)
    }
    guard (0...first).contains(detachedBefore) else {
      throw StoreError(
        .invalidArgument,
        "gradients cannot be dropped before token \(detachedBefore) in a chunk that begins at token \(first)",
        session: name, layer: layer)
    }
    let digest = Digest.of([queries, out, dOut], [logSumExp] + (dLogSumExp.map { [$0] } ?? []))
    let call = BackwardOrder.Call(
      layer: layer, tokens: first..<first + queries.tokens, detachedBefore: detachedBefore)
    switch order.check(call) {
    case .next: break
    case .repeated:
      guard let last, last.digest == digest else {
        throw StoreError(
          .badOrder, "this chunk and layer came before with other tensors", session: name, layer: layer,
          token: first)
      }
      return last.gradients
    case .refused(let due):
      throw StoreError(.badOrder, due, session: name, layer: layer, token: first)
    }
    let detached = try DetachedRows(
      before: detachedBefore, layer: layer, of: session, tokens: tokens, decoder: decoder)
    try layers[layer].makeRoom(detachedBefore: detachedBefore)
    // From here on accumulators change: a failure cannot be taken back.
    isLost = true
    let gradients = try accumulate(
      call, shape, detached, queries: queries, out: out, logSumExp: logSumExp, dOut: dOut,
      dLogSumExp: dLogSumExp)
    isLost = false
    layers[layer].releaseTaken()
    order.did(call)
    last = (digest, gradients)
    return gradients
  }

  private func accumulate(
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
