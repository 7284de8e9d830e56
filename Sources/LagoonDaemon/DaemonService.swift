import KVStore
import LagoonProtocol
import ServiceLifecycle
import Synchronization

/// A daemon as a service: serves until the group shuts down gracefully (a signal) or a client asks for it, then finishes
/// the requests under way and closes the store, both within bounds.
public struct DaemonService: Service {
  private let daemon: Daemon

  public init(_ daemon: Daemon) { self.daemon = daemon }

  public func run() async throws {
    daemon.logger.notice("lagoond ready on \(daemon.configuration.socketPath)")
    await withGracefulShutdownHandler {
      await daemon.waitForStopRequest()
    } onGracefulShutdown: {
      daemon.requestStop()
    }
    daemon.logger.info("stopping")
    // Stopping blocks, so it gets a thread of its own.
    let failure: (any Error)? = await withCheckedContinuation { continuation in
      let stop: @Sendable () -> Void = {
        daemon.stop()
        continuation.resume(returning: closeStore())
      }
      do { try PosixThread.start(name: "lagoon-stop", stop) } catch { stop() }
    }
    if let failure { throw failure }
    daemon.logger.notice("lagoond stopped")
  }

  /// Closes the store, which waits for readers: for requests that were cut off and are computing still. Committed rows are
  /// safe either way, so that is bounded too.
  private func closeStore() -> (any Error)? {
    do {
      let closing = try Closing()
      try PosixThread.start(name: "lagoon-close") { [store = daemon.store] in
        do throws(StoreError) { try store.close() } catch { closing.failure.withLock { $0 = error } }
        closing.isDone.raise()
      }
      guard closing.isDone.wait(timeout: daemon.configuration.timeouts.stop) else {
        return DaemonError(.stoppedTooSoon, "the store is in use still and was not closed")
      }
      return closing.failure.withLock { $0 }
    } catch {
      return DaemonError("the store was not closed", error)
    }
  }

  private final class Closing: Sendable {
    let isDone: Event
    let failure = Mutex<StoreError?>(nil)

    init() throws(SystemError) { isDone = try Event() }
  }
}
