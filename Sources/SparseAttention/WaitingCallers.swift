import Dispatch

/// Callers that wait for a permit, the longest waiting first. All of it is used with the pool's mutex held.
struct WaitingCallers {
  private final class Caller {
    let turn = DispatchSemaphore(value: 0)
    var next: Caller?
  }

  private var first: Caller?
  private var last: Caller?

  private(set) var count = 0

  var isEmpty: Bool { first == nil }

  /// A place at the end: what the caller waits on for its permit.
  mutating func join() -> DispatchSemaphore {
    let caller = Caller()
    if let last { last.next = caller } else { first = caller }
    last = caller
    count += 1
    return caller.turn
  }

  /// Takes out the one that has waited longest.
  mutating func leave() -> DispatchSemaphore? {
    guard let caller = first else { return nil }
    first = caller.next
    count -= 1
    if first == nil { last = nil }
    return caller.turn
  }
}
