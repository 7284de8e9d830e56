import KVStore
import LagoonClient
import LagoonDaemon
import Logging
import SparseAttention
import Testing

/// A real daemon in this process, on a store and socket of its own; stopped and removed when it ends.
final class LocalDaemon: Sendable {
  let folder: TemporaryFolder
  let daemon: Daemon

  var socketPath: String { daemon.configuration.socketPath }

  /// - Parameter folder: where another daemon's store may lie already; nil: a new one.
  init(
    folder: TemporaryFolder? = nil, limits: DaemonConfiguration.Limits = .init(),
    timeouts: DaemonConfiguration.Timeouts = .init(),
    stagedBytesTotal: Int = 64 << 20, stagedBytesPerOwner: Int = 32 << 20
  ) throws {
    let folder = try folder ?? TemporaryFolder()
    self.folder = folder
    let store = try KVStore(
      path: folder("store"),
      options: StoreOptions(
        quotaBytes: 256 << 20, durability: .process, connections: limits.connections,
        stagedBytesTotal: stagedBytesTotal, stagedBytesPerOwner: stagedBytesPerOwner,
        pool: WorkerPool(threads: 2)))
    var logger = Logger(label: "test") { StreamLogHandler.standardError(label: $0) }
    logger.logLevel = .critical
    daemon = try Daemon(
      serving: store,
      configuration: DaemonConfiguration(socketPath: folder("socket"), limits: limits, timeouts: timeouts),
      logger: logger)
  }

  deinit { stop() }

  func stop() {
    daemon.stop()
    try? daemon.store.close()
  }

  func connect(arenaBytes: Int = 0) throws -> LagoonConnection {
    try LagoonConnection(socketPath: socketPath, clientName: "tests", arenaBytes: arenaBytes)
  }

  func connectRaw() throws -> RawClient { try RawClient(socketPath: socketPath) }

  /// Does what a well-behaved client does, from another connection, and checks every number: whatever somebody else did
  /// before must not show.
  func expectGoodService(sourceLocation: SourceLocation = #_sourceLocation) throws {
    let connection = try connect()
    let text = SyntheticText(seed: 99)
    let name = "good-\(connection.daemon.connectionID)"
    let session = try connection.createSession(text.parameters(name: name))
    try text.expectRightAnswers(session, tokens: 40, sourceLocation: sourceLocation)
    try session.close()
    try connection.deleteSession(name)
  }
}

extension LocalDaemon {
  static let defaultLimits = DaemonConfiguration.Limits()
  static let defaultTimeouts = DaemonConfiguration.Timeouts()
}
