import LRSATraining
import LagKV
import LagoonClient
import ToolSupport
import Transformer

/// A daemon of a test's own, and attention through it.
struct TestDaemon {
  let configuration: ModelConfiguration
  let retention: RetentionParameters
  let type: ElementType
  private let daemon: PrivateDaemon

  init(_ configuration: ModelConfiguration, _ retention: RetentionParameters, _ type: ElementType) throws {
    self.configuration = configuration
    self.retention = retention
    self.type = type
    daemon = try PrivateDaemon()
  }

  /// - Parameter chunk: most tokens of a call.
  func withAttention<Result>(chunk: Int, _ body: (DaemonTrainingAttention) throws -> Result) throws -> Result
  {
    try withSession(chunk: chunk) { attention, _ in try body(attention) }
  }

  func withSession<Result>(
    chunk: Int, _ body: (DaemonTrainingAttention, RemoteSession) throws -> Result
  ) throws -> Result {
    let connection = try LagoonConnection(
      socketPath: daemon.socketPath,
      arenaBytes: DaemonTrainingAttention.arenaBytes(configuration, chunk: chunk))
    let name = "test-\(UInt64.random(in: 0...UInt64.max))"
    let session = try connection.createSession(
      SessionParameters(
        name: name, layers: configuration.layers, kvHeads: configuration.kvHeads,
        headDim: configuration.headDim, elementType: type, policy: retention.policy, sinks: retention.sinks,
        lag: retention.lag, ratio: retention.ratio, valueWeight: retention.valueWeight, archive: true))
    let attention = try DaemonTrainingAttention(
      session, configuration, chunk: chunk, onClose: { try? connection.deleteSession(name) })
    defer { attention.close() }
    return try body(attention, session)
  }
}
