import CPosix
import Glibc
import LagoonProtocol

/// Operating system threads: what blocks on sockets and on the store must not occupy Swift's cooperative pool.
enum PosixThread {
  /// Runs `body` on a new detached thread.
  static func start(name: String, _ body: @escaping @Sendable () -> Void) throws(SystemError) {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    pthread_attr_setstacksize(&attributes, 2 << 20)
    let start = Unmanaged.passRetained(Start(name: name, body: body))
    var thread = pthread_t()
    let result = pthread_create(
      &thread, &attributes,
      { argument in
        // The one reference that passRetained() made; pthread_create hands it to this function once.
        guard let argument else { return nil }
        let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
        lagoon_name_thread(start.name)
        start.body()
        return nil
      }, start.toOpaque())
    if result != 0 {
      start.release()
      throw SystemError(result)
    }
  }

  private final class Start: Sendable {
    let name: String
    let body: @Sendable () -> Void

    init(name: String, body: @escaping @Sendable () -> Void) {
      // The system takes 15 bytes.
      self.name = String(name.prefix(15))
      self.body = body
    }
  }
}
