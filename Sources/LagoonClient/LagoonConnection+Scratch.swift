extension LagoonConnection {
  /// Makes a session, hands it over, deletes it, however `body` ends. It is ephemeral: gone also when the program is killed.
  ///
  /// - Parameter parameters: their name is what the session is for; the rest of the name is random.
  package func withScratchSession<Result>(
    _ parameters: SessionParameters, _ body: (RemoteSession) throws -> Result
  ) throws -> Result {
    var parameters = parameters
    parameters.name = "scratch-\(parameters.name)-\(UInt64.random(in: 0...UInt64.max))"
    parameters.ephemeral = true
    let session = try createSession(parameters)
    do {
      let result = try body(session)
      try session.close()
      try deleteSession(parameters.name)
      return result
    } catch {
      // What went wrong first is what counts; the session may be out of reach by now.
      try? session.close()
      try? deleteSession(parameters.name)
      throw error
    }
  }
}
