import CPosix

/// How long to look for the other side's next frame before going to sleep.
///
/// A core that sleeps takes tens of microseconds to wake, under a hypervisor more than a small attention call takes. So where frames
/// have come soon lately, the next one is looked for that long; where they have not, nobody's time is spent.
package struct Patience: Sendable {
  /// Longest time of looking, in nanoseconds: about what sleeping and waking costs.
  package static let longest: Int64 = 150_000

  /// Nanoseconds that the last waits took, the newest for an eighth.
  private var usual = 8 * longest

  package init() {}

  /// Nanoseconds to look for; 0: sleep at once.
  package var nanoseconds: Int64 { usual <= Self.longest ? min(Self.longest, 2 * usual) : 0 }

  package mutating func note(_ waited: Int64) {
    // One long wait among short ones counts for as much as eight.
    usual += (min(waited, 8 * Self.longest) - usual) / 8
  }

  /// Looks at the socket as long as it pays, then does `receive`, which may sleep.
  package mutating func wait<Failure: Error>(
    on socket: borrowing FrameSocket, _ receive: () throws(Failure) -> Int
  ) throws(Failure) -> Int {
    let start = lagoon_monotonic_nanoseconds()
    if nanoseconds > 0 { _ = lagoon_spin_readable(socket.number, nanoseconds) }
    let received = try receive()
    note(lagoon_monotonic_nanoseconds() - start)
    return received
  }
}
