import ArgumentParser
import LagoonClient
import LanguageModel
import ToolSupport
import Transformer

/// Which daemon is used.
struct DaemonOptions: ParsableArguments {
  @Option(help: "Socket of a running daemon. Default: a daemon of this command's own.")
  var socket: String?

  @Option(help: "Store folder of this command's own daemon. Default: temporary.")
  var store: String?

  func validate() throws {
    if socket != nil, store != nil {
      throw ValidationError("--store goes without --socket: that daemon has its store.")
    }
  }

  /// Whether sessions are gone when the command ends.
  var isTemporary: Bool { socket == nil && store == nil }

  /// Connects, starting a daemon first when none is named.
  ///
  /// - Parameter chunk: tokens of a call, for which the arena is made.
  func connect(_ configuration: ModelConfiguration, chunk: Int) throws -> DaemonLink {
    var daemon: PrivateDaemon?
    if socket == nil {
      var options = PrivateDaemon.Options()
      options.store = store
      daemon = try PrivateDaemon(options)
    }
    let path = socket ?? daemon?.socketPath ?? LagoonConnection.defaultSocketPath
    let connection = try LagoonConnection(
      socketPath: path, clientName: "lagoon-lm",
      arenaBytes: DaemonAttention.arenaBytes(configuration, chunk: chunk))
    return DaemonLink(connection: connection, daemon: daemon)
  }
}

/// A connection, and the daemon behind it if it is this command's own.
struct DaemonLink {
  let connection: LagoonConnection
  private let daemon: PrivateDaemon?

  init(connection: LagoonConnection, daemon: PrivateDaemon?) {
    self.connection = connection
    self.daemon = daemon
  }

  /// Ends the daemon if it is this command's own.
  func close() { daemon?.stop() }
}
