import ArgumentParser
import LagoonClient
import LanguageModel
import ToolSupport
import Transformer

/// Which daemon is used.
package struct DaemonOptions: ParsableArguments {
  @Option(help: "Socket of a running daemon. Default: a daemon of this command's own.")
  package var socket: String?

  @Option(help: "Store folder of this command's own daemon. Default: temporary.")
  package var store: String?

  package init() {}

  package func validate() throws {
    if socket != nil, store != nil {
      throw ValidationError("--store goes without --socket: that daemon has its store.")
    }
  }

  /// Whether sessions are gone when the command ends.
  package var isTemporary: Bool { socket == nil && store == nil }

  /// Connects, starting a daemon first when none is named.
  ///
  /// - Parameter chunk: tokens of a call, for which the arena is made.
  package func connect(_ configuration: ModelConfiguration, chunk: Int) throws -> DaemonLink {
    try connect(arenaBytes: DaemonAttention.arenaBytes(configuration, chunk: chunk))
  }

  package func connect(arenaBytes: Int) throws -> DaemonLink {
    var daemon: PrivateDaemon?
    if socket == nil {
      var options = PrivateDaemon.Options()
      options.store = store
      daemon = try PrivateDaemon(options)
    }
    let path = socket ?? daemon?.socketPath ?? LagoonConnection.defaultSocketPath
    let connection = try LagoonConnection(
      socketPath: path,
      clientName: CommandLine.arguments.first.map { String($0.split(separator: "/").last ?? "") } ?? "",
      arenaBytes: arenaBytes)
    return DaemonLink(connection: connection, daemon: daemon)
  }
}

/// A connection, and the daemon behind it if it is this command's own.
package struct DaemonLink {
  package let connection: LagoonConnection
  private let daemon: PrivateDaemon?

  init(connection: LagoonConnection, daemon: PrivateDaemon?) {
    self.connection = connection
    self.daemon = daemon
  }

  /// Ends the daemon if it is this command's own.
  package func close() { daemon?.stop() }
}
