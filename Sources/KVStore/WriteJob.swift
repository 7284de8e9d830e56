/// One change of the store, done by the writer thread.
///
/// `@unchecked Sendable`: the thread that submits a job waits in `Writer.submit` until the job is done, so `body` and what it
/// captured are used by one thread at a time; the queue's lock orders the hand-over both ways.
final class WriteJob: @unchecked Sendable {
  let cost: WriteCost
  /// Deletes may use the reserve.
  let usesReserve: Bool
  /// Runs inside the transaction; again, should another job of its group fail. Must change nothing but the store.
  /// nil once the job is done.
  private(set) var body: ((borrowing WriteTransaction) throws(StoreError) -> Void)?
  let outcome = Monitor<Outcome>(.pending)

  enum Outcome: Sendable {
    case pending, done
    case failed(StoreError)
  }

  init(
    cost: WriteCost, usesReserve: Bool = false,
    _ body: @escaping (borrowing WriteTransaction) throws(StoreError) -> Void
  ) {
    self.cost = cost
    self.usesReserve = usesReserve
    self.body = body
  }

  /// Wakes the thread that waits. What `body` captured is let go before: the slabs of this commit are in the pool when the
  /// next one is staged, so a stream of commits needs no second set of them.
  func finish(_ outcome: Outcome) {
    body = nil
    self.outcome.withLock(notify: true) { $0 = outcome }
  }
}
