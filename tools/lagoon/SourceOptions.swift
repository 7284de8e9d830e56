import ArgumentParser
import LagoonClient

/// The options that say where sessions are.
struct SourceOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The daemon's socket (default: \(LagoonConnection.defaultSocketPath)).", valueName: "path"))
  var socket: String?

  @Option(
    help: ArgumentHelp("Read the store of a stopped daemon instead, without changing it.", valueName: "dir"),
    completion: .directory)
  var store: String?

  func validate() throws {
    if socket != nil, store != nil { throw ValidationError("Give --socket or --store, not both.") }
  }

  func open() throws -> any SessionSource {
    if let store { return try StoppedStore(path: store) }
    return try RunningDaemon(socketPath: socket ?? LagoonConnection.defaultSocketPath)
  }
}

/// A session's name as an argument, with the daemon's sessions as completions.
extension CompletionKind {
  static var sessionName: CompletionKind {
    .custom { _, _, _ in
      (try? LagoonConnection(clientName: "lagoon").listSessions().map(\.name)) ?? []
    }
  }
}
