import KVStore
import LagoonProtocol
import Logging
import ServiceLifecycle
import Synchronization

/// A daemon as a service: serves until the group shuts down gracefully (a signal) or a client asks for it, then finishes
/// the requests under way and closes the store, both within bounds.
///
/// The socket is bound in ``run()``, when the group traps its signals already: whoever can connect can also count on a
/// graceful stop.
public struct DaemonService: Service {
  private let store: KVStore
  private let configuration: DaemonConfiguration
  private let logger: Logger
  private let stopsAtEndOfInput: Bool

  /// - Parameter stopsAtEndOfInput: stop when standard input ends.
  public init(
    serving store: KVStore, configuration: DaemonConfiguration, logger: Logger,
    stopsAtEndOfInput: Bool = false
  ) {
    self.store = store
    self.configuration = configuration
    self.logger = logger
    self.stopsAtEndOfInput = stopsAtEndOfInput
  }

  /// - Throws: ``DaemonError``, or the store's error of closing it.
  public func run() async throws {
    let daemon: Daemon
    do {
      daemon = try Daemon(serving: store, configuration: configuration, logger: logger)
    } catch {
      try? store.close()
      throw error
    }
    if stopsAtEndOfInput { daemon.stopAtEndOfInput() }
    logger.notice("lagoond ready on \(configuration.socketPath)")
    await withGracefulShutdownHandler {
      await daemon.waitForStopRequest()
    } onGracefulShutdown: {
      daemon.requestStop()
    }
    logger.info("stopping")
    // Stopping blocks, so it gets a thread of its own.
    let failure: (any Error)? = await withCheckedContinuation { continuation in
      let stop: @Sendable () -> Void = {
        daemon.stop()
        continuation.resume(returning: closeStore())
      }
      do { try PosixThread.start(name: "lagoon-stop", stop) } catch { stop() }
    }
    if let failure { throw failure }
    logger.notice("lagoond stopped")
  }

  /// Closes the store, which waits for readers: for requests that were cut off and are computing still. Committed rows are
  /// safe either way, so that is bounded too.
  private func closeStore() -> (any Error)? {
    do {
      let closing = try Closing()
      try PosixThread.start(name: "lagoon-close") { [store] in
        do throws(StoreError) { try store.close() } catch { closing.failure.withLock { $0 = error } }
        closing.isDone.raise()
      }
      guard closing.isDone.wait(timeout: configuration.timeouts.stop) else {
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
