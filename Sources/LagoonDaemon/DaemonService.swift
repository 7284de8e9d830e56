import KVStore
import ServiceLifecycle

/// A daemon as a service: serves until the group shuts down gracefully (a signal) or a client asks for it, then finishes
/// the requests under way within their bound and closes the store.
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
        do throws(StoreError) {
          try daemon.store.close()
          continuation.resume(returning: nil)
        } catch {
          continuation.resume(returning: error)
        }
      }
      do { try PosixThread.start(name: "lagoon-stop", stop) } catch { stop() }
    }
    if let failure { throw failure }
    daemon.logger.notice("lagoond stopped")
  }
}
