/// Who reads which snapshot: what the writer must know, since pages that a reader may still see are not reused.
final class ReaderRegistry: Sendable {
  /// The pure part.
  struct State: Sendable {
    /// The last committed transaction; a reader that enters sees it or a later one.
    var lastTransaction: UInt64
    /// Active readers by the oldest transaction that they may see.
    var active: [UInt64: Int] = [:]
    var isClosed = false

    var oldest: UInt64? { active.keys.min() }

    mutating func leave(_ ticket: UInt64) {
      guard let count = active[ticket] else { return }
      active[ticket] = count > 1 ? count - 1 : nil
    }
  }

  private let state: Monitor<State>

  init(lastTransaction: UInt64) { state = Monitor(State(lastTransaction: lastTransaction)) }

  /// Registers a reader *before* its transaction begins, so that its snapshot is never older than the ticket says.
  func enter() throws(StoreError) -> UInt64 {
    let ticket: UInt64? = state.withLock { state in
      guard !state.isClosed else { return nil }
      state.active[state.lastTransaction, default: 0] += 1
      return state.lastTransaction
    }
    guard let ticket else { throw StoreError(.closed, "the store is closed") }
    return ticket
  }

  func leave(_ ticket: UInt64) { state.withLock(notify: true) { $0.leave(ticket) } }

  func committed(_ transaction: UInt64) { state.withLock { $0.lastTransaction = transaction } }

  /// The oldest transaction that a reader may see; without readers the last one.
  var oldest: UInt64 { state.withLock { $0.oldest ?? $0.lastTransaction } }

  /// The last committed transaction.
  var last: UInt64 { state.withLock { $0.lastTransaction } }

  /// Waits until no reader is more than `limit` transactions behind, at most `milliseconds`.
  func waitForLaggards(limit: Int, milliseconds: Int) {
    _ = state.wait(milliseconds: milliseconds) { state -> Bool? in
      guard let oldest = state.oldest else { return true }
      return state.lastTransaction - oldest <= UInt64(limit) ? true : nil
    }
  }

  func close() {
    state.withLock { $0.isClosed = true }
    _ = state.wait { $0.active.isEmpty ? true : nil }
  }
}
