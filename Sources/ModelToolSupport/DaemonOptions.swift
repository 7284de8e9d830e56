import ArgumentParser
import Foundation
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

  /// An existing folder on the disk of this command's own daemon's store; nil when a named daemon is used.
  package var ownStore: String? {
    guard socket == nil else { return nil }
    guard var folder = store.map({ URL(fileURLWithPath: $0) }) else { return PrivateDaemon.temporaryBase }
    while !FileManager.default.fileExists(atPath: folder.path), folder.path != "/" {
      folder.deleteLastPathComponent()
    }
    return folder.path
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
    let supply = DaemonSupply(self, arenaBytes: arenaBytes)
    return DaemonLink(connection: try supply.connect(), supply: supply)
  }
}

/// Connections for work that outlives a daemon: one after another, to the named daemon, or to one of the command's own that
/// is started again when it has died.
package final class DaemonSupply {
  private let options: DaemonOptions
  private let arenaBytes: Int
  private var daemon: PrivateDaemon?

  /// Starts nothing yet.
  package init(_ options: DaemonOptions, arenaBytes: Int) {
    self.options = options
    self.arenaBytes = arenaBytes
  }

  /// A new connection.
  package func connect() throws -> LagoonConnection {
    if options.socket == nil {
      if let daemon {
        try daemon.startIfEnded()
      } else {
        var own = PrivateDaemon.Options()
        own.store = options.store
        daemon = try PrivateDaemon(own)
      }
    }
    return try LagoonConnection(
      socketPath: options.socket ?? daemon?.socketPath ?? LagoonConnection.defaultSocketPath,
      clientName: CommandLine.arguments.first.map { String($0.split(separator: "/").last ?? "") } ?? "",
      arenaBytes: arenaBytes)
  }

  /// The process of the command's own daemon; nil when it has none.
  package var processIdentifier: Int32? { daemon?.processIdentifier }

  /// Ends the daemon if it is the command's own.
  package func close() { daemon?.stop() }
}

/// A connection, and the daemon behind it if it is this command's own.
package struct DaemonLink {
  package let connection: LagoonConnection
  private let supply: DaemonSupply

  init(connection: LagoonConnection, supply: DaemonSupply) {
    self.connection = connection
    self.supply = supply
  }

  /// Ends the daemon if it is this command's own.
  package func close() { supply.close() }
}
