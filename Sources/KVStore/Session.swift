import LagKV
import SparseAttention

/// An open session. Its configuration is fixed; its tokens grow by commits.
public final class Session: Sendable {
  public let configuration: SessionConfiguration

  let store: KVStore
  let extent: UInt64
  /// With the kept rows in the configuration's codec.
  let plan: SessionPlan
  /// With the kept rows compressed for their age; nil: they never are.
  private let coldPlan: SessionPlan?
  let use: SessionUse
  let policy: any RetentionPolicy
  private let known = KnownRecord()

  init(store: KVStore, configuration: SessionConfiguration, extent: UInt64) throws(StoreError) {
    self.store = store
    self.configuration = configuration
    self.extent = extent
    plan = try SessionPlan(configuration)
    coldPlan = configuration.canBeCold ? try SessionPlan(configuration, codec: .zstd) : nil
    use = store.uses.use(of: extent)
    policy = configuration.retention.makePolicy()
  }

  /// How the rows of a record lie.
  func plan(of record: SessionRecord) -> SessionPlan {
    record.rows.codec == configuration.codec ? plan : coldPlan ?? plan
  }

  /// Where the session stands now.
  ///
  /// - Throws: `notFound` once it is deleted.
  public func state() throws(StoreError) -> SessionState {
    let record = try store.environment.read { view throws(StoreError) in try self.record(view) }
    return try store.state(of: record)
  }

  /// Makes the caller the session's writer, with an empty tail.
  ///
  /// - Parameters:
  ///   - capacity: most tokens staged between two commits.
  ///   - owner: whose staged bytes the tail counts against: the worst case of `capacity` is reserved now.
  /// - Throws: `busy` while another writer holds it, `tooLarge`, `stagingFull`, `notFound`.
  public func begin(capacity: Int, owner: StagingAccount) throws(StoreError) -> StagedTail {
    _ = try store.writer()
    let reservation = try reserve(capacity, owner)
    let record = try store.environment.read { view throws(StoreError) in try self.record(view) }
    try store.takeWriter(record)
    do throws(StoreError) {
      // Another writer may have committed, or the session may have been deleted, just before it was taken.
      let current = try store.environment.read { view throws(StoreError) in try self.record(view) }
      return StagedTail(
        self, base: current, capacity: capacity, reservation: reservation, isOverlay: false)
    } catch {
      store.releaseWriter(extent)
      throw error
    }
  }

  /// A private tail over the committed rows, never committed.
  ///
  /// - Throws: `moved` unless the session stands at `ifTokens`, `tooLarge`, `stagingFull`, `notFound`.
  public func overlay(
    capacity: Int, owner: StagingAccount, ifTokens: Int? = nil
  ) throws(StoreError) -> StagedTail {
    let reservation = try reserve(capacity, owner)
    store.pin(extent)
    do throws(StoreError) {
      let record = try store.environment.read { view throws(StoreError) in
        try self.record(view, ifTokens: ifTokens)
      }
      return StagedTail(self, base: record, capacity: capacity, reservation: reservation, isOverlay: true)
    } catch {
      store.unpin(extent)
      throw error
    }
  }
}

extension Session {
  /// The session's record in a snapshot.
  ///
  /// - Throws: `notFound` where the session was deleted (also where another of its name was made since), `moved`.
  func record(
    _ view: borrowing ReadTransaction, ifTokens: Int? = nil
  ) throws(StoreError) -> SessionRecord {
    let record = try store.record(configuration.name, view, known: known)
    guard record.extent == extent else {
      throw StoreError(.notFound, "the session was deleted", session: configuration.name)
    }
    if let ifTokens, ifTokens != record.tokens {
      throw StoreError(
        .moved, "the session stands at \(record.tokens) tokens, not at \(ifTokens)",
        session: configuration.name)
    }
    return record
  }

  func checkLayer(_ layer: Int) throws(StoreError) {
    guard (0..<configuration.layers).contains(layer) else {
      throw StoreError(
        .invalidArgument, "layer \(layer) does not exist: the session has \(configuration.layers) layers",
        session: configuration.name)
    }
  }

  /// Most working memory that the queries of one call may take: two f32 rows of whole vectors for each query and head, and one of bf16.
  static let attentionBytes = 128 << 20

  /// - Throws: `invalidArgument` where queries, out and log-sum-exp do not fit each other or the session, `tooLarge`.
  func attentionShape(
    _ queries: TensorView, _ scale: Float?, _ out: TensorView, _ logSumExp: LogSumExpView
  ) throws(StoreError) -> AttentionShape {
    let name = configuration.name
    guard queries.headDim == configuration.headDim else {
      throw StoreError(
        .invalidArgument,
        "queries have \(queries.headDim) channels, the session's heads \(configuration.headDim)",
        session: name)
    }
    guard out.tokens == queries.tokens, out.heads == queries.heads, out.headDim == queries.headDim,
      logSumExp.tokens == queries.tokens, logSumExp.heads == queries.heads
    else {
      throw StoreError(.invalidArgument, "out and log-sum-exp must have the queries' shape", session: name)
    }
    // f32 copies of the queries and of their sums, and perhaps a bf16 one, in rows of whole vectors.
    let scratch =
      CheckedSize(queries.tokens) * CheckedSize(queries.heads) * CheckedSize(10 * (queries.headDim + 16))
    guard let bytes = scratch.value, bytes <= Self.attentionBytes else {
      throw StoreError(
        .tooLarge,
        "attention of \(queries.tokens) × \(queries.heads) queries takes more than \(Self.attentionBytes) bytes"
          + " of working memory: send fewer queries in a call", session: name)
    }
    do {
      return try AttentionShape(
        queryHeads: queries.heads, kvHeads: configuration.kvHeads, headDim: configuration.headDim,
        scale: scale)
    } catch {
      throw StoreError(.invalidArgument, error.message, session: name)
    }
  }

  private func reserve(_ capacity: Int, _ owner: StagingAccount) throws(StoreError) -> StagingReservation {
    guard capacity >= 1 else {
      throw StoreError(.invalidArgument, "a capacity of \(capacity) tokens; it must be at least 1")
    }
    guard capacity <= Int(UInt32.max) else {
      throw StoreError(
        .tooLarge, "a capacity of \(capacity) tokens; a session holds at most \(UInt32.max)")
    }
    guard let hot = plan.stagedBytes(capacity: capacity),
      let cold = (coldPlan ?? plan).stagedBytes(capacity: capacity)
    else {
      throw StoreError(
        .tooLarge, "a capacity of \(capacity) tokens needs more bytes than can be counted",
        session: configuration.name)
    }
    do throws(StoreError) {
      return try StagingReservation(max(hot, cold), owner: owner, total: store.staging)
    } catch { throw error.named(configuration.name) }
  }
}
