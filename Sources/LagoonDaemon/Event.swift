import CPosix
import LagoonProtocol

/// Something that happens once and stays so; threads wait for it, alone or beside a socket.
struct Event: ~Copyable, Sendable {
  private let descriptor: Descriptor

  init() throws(SystemError) {
    descriptor = Descriptor(owning: try SystemError.check(lagoon_event_create()))
  }

  /// Readable once raised.
  var number: Int32 { descriptor.number }

  func raise() { lagoon_event_raise(number) }

  /// - Returns: whether it was raised before `timeout` milliseconds had passed (-1: waits for ever).
  func wait(timeout: Int64) -> Bool { lagoon_wait_readable(number, -1, timeout) > 0 }
}
