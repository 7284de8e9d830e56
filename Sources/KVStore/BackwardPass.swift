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
  let decoder = FrameDecoder()
  var layers: [LayerAccumulators] = []
  private var order: BackwardOrder
  /// The last call, for one that is sent again.
  private var last: (digest: [UInt64], gradients: ChunkGradients)?
  /// Room for the gradients of `last`: as many bytes as those of the largest chunk so far.
  private var reservations: [StagingReservation] = []
  private let owner: StagingAccount
  private var isLost = false

  init(
    _ session: Session, record: SessionRecord, detachedBefore: Int, owner: StagingAccount
  ) throws(StoreError) {
    let name = session.configuration.name
    self.session = session
    self.owner = owner
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
    try reserve(gradientsOf: queries, shape)
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

  private func reserve(gradientsOf queries: TensorView, _ shape: AttentionShape) throws(StoreError) {
    let bytes = 4 * queries.tokens * shape.headDim * (shape.queryHeads + 2 * shape.kvHeads)
    let missing = bytes - reservations.reduce(0) { $0 + $1.bytes }
    guard missing > 0 else { return }
    reservations.append(
      try StagingReservation(
        missing, owner: owner, total: session.store.staging, for: "a chunk's gradients",
        hint: "send fewer tokens in a call"))
  }
}
