import LagoonClient
import ToolSupport

/// A session of a command's own, deleted when the command is done with it, also after Ctrl-C; ephemeral, so that it is gone
/// even if the command is killed.
package enum ScratchSession {
  /// Makes a session, hands it over, deletes it.
  ///
  /// - Parameter parameters: their name is what the session is for; the rest of the name is random.
  package static func with<Result>(
    _ connection: LagoonConnection, _ parameters: SessionParameters, _ body: (RemoteSession) throws -> Result
  ) throws -> Result {
    var parameters = parameters
    parameters.name = "scratch-\(parameters.name)-\(UInt64.random(in: 0...UInt64.max))"
    parameters.ephemeral = true
    return try ExitCleanup.finishing(withinSeconds: 5) {
      let session = try connection.createSession(parameters)
      do {
        let result = try body(session)
        try session.close()
        try connection.deleteSession(parameters.name)
        return result
      } catch {
        // What went wrong first is what counts; the session may be out of reach by now.
        try? session.close()
        try? connection.deleteSession(parameters.name)
        throw error
      }
    }
  }
}
