/// Who is connected, and whether the daemon still serves: a pure state machine. The daemon locks it, asks, unlocks and acts.
struct Roster: Sendable {
  enum Phase: Sendable, Hashable {
    case serving, draining
  }

  private(set) var phase = Phase.serving
  /// Sockets of connections being served.
  private(set) var sockets: [UInt64: Int32] = [:]
  private var nextID: UInt64 = 1
  private var isAccepting = false
  let limit: Int

  init(limit: Int) { self.limit = limit }

  enum Admission: Sendable, Hashable {
    case serve(id: UInt64)
    case overloaded
    case shuttingDown
  }

  mutating func accepting() { isAccepting = true }

  mutating func admit(_ socket: Int32) -> Admission {
    guard phase == .serving else { return .shuttingDown }
    guard sockets.count < limit else { return .overloaded }
    defer { nextID += 1 }
    sockets[nextID] = socket
    return .serve(id: nextID)
  }

  /// The connection's socket is about to be closed and must not be touched any more.
  mutating func leave(_ id: UInt64) { sockets[id] = nil }

  mutating func acceptorEnded() { isAccepting = false }

  mutating func drain() { phase = .draining }

  /// Nothing will run any more.
  var isDrained: Bool { phase == .draining && sockets.isEmpty && !isAccepting }
}
