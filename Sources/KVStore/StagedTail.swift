import LagKV
import SparseAttention

/// Rows on top of a session's committed ones, in memory: the writer's until `commit`, or an overlay's.
///
/// Every layer grows by itself; `commit` needs them equal. Slabs are staged in the layout in which they are stored, so the
/// blocks that attention sees are the same before and after a commit.
///
/// Used by one thread at a time. Ends with `abort`, with a commit that does not go on writing, or when it is released.
public final class StagedTail {
  public let session: Session
  public let isOverlay: Bool
  /// Most tokens staged between two commits.
  public let capacity: Int

  /// The record that the tail stands on. Its rows stay where they are for as long as the tail lives.
  var base: SessionRecord
  let plan: SessionPlan
  var layers: [StagedLayer]
  let decoder = FrameDecoder()
  let encoder = FrameEncoder()
  private var reservation: StagingReservation?

  init(
    _ session: Session, base: SessionRecord, capacity: Int, reservation: StagingReservation, isOverlay: Bool
  ) {
    self.session = session
    self.base = base
    self.capacity = capacity
    self.reservation = reservation
    self.isOverlay = isOverlay
    plan = session.plan(of: base)
    layers = plan.layers.map { StagedLayer(base: base.tokens, plan: $0) }
  }

  deinit { abort() }

  /// Committed tokens that the tail stands on.
  package var baseTokens: Int { base.tokens }

  /// Committed and staged tokens of each layer.
  public var tokens: [Int] { layers.map(\.tokens) }

  /// Drops what is staged and frees the session for another writer. Does nothing the second time.
  public func abort() {
    guard reservation != nil else { return }
    layers = plan.layers.map { StagedLayer(base: base.tokens, plan: $0) }
    reservation = nil
    if isOverlay {
      session.store.unpin(session.extent)
    } else {
      session.store.releaseWriter(session.extent)
    }
  }

  /// - Throws: `notBegun` after the tail has ended.
  func checkAlive() throws(StoreError) {
    guard reservation != nil else {
      throw StoreError(
        .notBegun, isOverlay ? "the overlay has ended" : "the writer has ended: begin again",
        session: session.configuration.name)
    }
  }

  /// The session's record in a snapshot, where the session stands as the tail's base says.
  ///
  /// - Throws: `moved` (an overlay whose session was committed to), `notFound` (deleted).
  func record(_ view: borrowing ReadTransaction) throws(StoreError) -> SessionRecord {
    let record = try session.record(view)
    guard record.generation == base.generation, record.rows == base.rows else {
      throw StoreError(
        .moved,
        "the session has moved from \(base.tokens) to \(record.tokens) tokens under this overlay: make another",
        session: session.configuration.name)
    }
    return record
  }

  /// Opens a snapshot on the tail's base.
  func withBase(
    _ body: (borrowing ReadTransaction, SessionRecord) throws(StoreError) -> Void
  ) throws(StoreError) {
    try session.store.environment.read { view throws(StoreError) in try body(view, try record(view)) }
  }

  func rows(_ layer: Int, _ record: SessionRecord) -> LayerRows {
    LayerRows(
      stored: StoredLayer(record: record, plan: plan.layers[layer], layer: layer),
      staged: layers[layer], validated: session.store.validated, decoder: decoder)
  }

  /// Attention of queries over every row, committed and staged, of a layer.
  ///
  /// Shapes, and the other parameters, are those of `Session.attend`.
  /// - Returns: the token count attended over.
  /// - Throws: `invalidArgument`, `nonFinite`, `moved`, `notFound`, `corrupt`, `notBegun`.
  public func attend(
    layer: Int, queries: TensorView, scale: Float? = nil, out: MutableTensorView, logSumExp: LogSumExpView
  ) throws(StoreError) -> Int {
    try checkAlive()
    try session.checkLayer(layer)
    let shape = try session.attentionShape(queries, scale, out.readOnly, logSumExp)
    try session.checkFinite(queries, layer: layer)
    let running = RunningAttention(
      AttentionAccumulator(
        shape: shape, queries: queries, firstQueryPosition: 0, pool: session.store.options.pool))
    let tokens = layers[layer].tokens
    try scan(.all(plan.layers[layer], tokens: tokens), layer, running)
    running.accumulator.finish(out: out, logSumExp: logSumExp, pool: session.store.options.pool)
    return tokens
  }

  func scan(
    _ visible: VisibleRows, _ layer: Int, _ running: RunningAttention
  ) throws(StoreError) {
    _ = try session.scan(visible, layer: layer, tail: self, decoder: decoder, into: running)
  }
}
