import LagoonClient
import ToolSupport
import Transformer

/// Puts tokens through the model into a session, chunk by chunk, each committed before the next.
struct SessionFeed {
  let model: DecoderModel
  let session: RemoteSession
  let chunk: Int

  /// Feeds `tokens` from `first` on; the session must stand at `first`.
  ///
  /// - Parameter rows: of which tokens of a chunk logits are computed.
  /// - Parameter each: gets the range of each chunk once it is committed, and its logits.
  func run(
    _ tokens: [UInt32], from first: Int, logits rows: LogitRows,
    _ each: (Range<Int>, [Float]) throws -> Void
  ) throws {
    let attention = DaemonAttention(session, model.configuration)
    try session.begin(capacity: chunk)
    var at = first
    while at < tokens.count {
      try ExitCleanup.throwIfEnding()
      let range = at..<min(at + chunk, tokens.count)
      let logits = try model.forward(tokens[range], startPosition: at, attention: attention, logits: rows)
      try session.commit(tokenIDs: Array(tokens[range]), keepWriting: true)
      at = range.upperBound
      try each(range, logits)
    }
    try session.abort()
  }
}

/// A session of a command's own, deleted when the command is done with it, also after Ctrl-C.
enum ScratchSession {
  /// Makes a session, hands it over, deletes it.
  ///
  /// - Parameter parameters: their name is what the session is for; the rest of the name is random.
  static func with<Result>(
    _ connection: LagoonConnection, _ parameters: SessionParameters, _ body: (RemoteSession) throws -> Result
  ) throws -> Result {
    var parameters = parameters
    parameters.name = "lagoon-lm-\(parameters.name)-\(UInt64.random(in: 0...UInt64.max))"
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
