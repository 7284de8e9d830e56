import Synchronization

/// What the daemon counts about itself, beside the store's statistics.
struct Counters: ~Copyable, Sendable {
  let requests = Atomic<Int>(0)
  let failedRequests = Atomic<Int>(0)
  let attendCalls = Atomic<Int>(0)
  let stepCalls = Atomic<Int>(0)

  static func count(_ counter: borrowing Atomic<Int>) { counter.wrappingAdd(1, ordering: .relaxed) }
}
