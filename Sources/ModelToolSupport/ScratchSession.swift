import LagoonClient
import ToolSupport

/// A session of a command's own, deleted when the command is done with it, also after Ctrl-C.
package enum ScratchSession {
  /// As `LagoonConnection.withScratchSession`; a signal waits until the session is gone, up to five seconds.
  package static func with<Result>(
    _ connection: LagoonConnection, _ parameters: SessionParameters, _ body: (RemoteSession) throws -> Result
  ) throws -> Result {
    try ExitCleanup.finishing(withinSeconds: 5) { try connection.withScratchSession(parameters, body) }
  }
}
