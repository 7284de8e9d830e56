/// Who is connected, and whether the daemon still serves: a pure state machine. The daemon locks it, asks, unlocks and acts.
package struct Roster: Sendable {
  package enum Phase: Sendable, Hashable {
    case serving, draining
  }

  package private(set) var phase = Phase.serving
  /// Sockets of connections being served.
  package private(set) var sockets: [UInt64: Int32] = [:]
  private var nextID: UInt64 = 1
  private var isAccepting = false
  package let limit: Int

  package init(limit: Int) { self.limit = limit }

  package enum Admission: Sendable, Hashable {
    case serve(id: UInt64)
    case overloaded
    case shuttingDown
  }

  package mutating func accepting() { isAccepting = true }

  package mutating func admit(_ socket: Int32) -> Admission {
    guard phase == .serving else { return .shuttingDown }
    guard sockets.count < limit else { return .overloaded }
    defer { nextID += 1 }
    sockets[nextID] = socket
    return .serve(id: nextID)
  }

  /// The connection's socket is about to be closed and must not be touched any more.
  package mutating func leave(_ id: UInt64) { sockets[id] = nil }

  package mutating func acceptorEnded() { isAccepting = false }

  package mutating func drain() { phase = .draining }

  /// Nothing will run any more.
  package var isDrained: Bool { phase == .draining && sockets.isEmpty && !isAccepting }
}
