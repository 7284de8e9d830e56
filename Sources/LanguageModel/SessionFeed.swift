import LagoonClient
import Transformer

/// Puts tokens through the model into a session, chunk by chunk, each committed before the next.
public struct SessionFeed {
  private let model: DecoderModel
  private let session: RemoteSession
  private let chunk: Int

  /// - Parameter chunk: tokens of a forward pass and of a commit.
  public init(model: DecoderModel, session: RemoteSession, chunk: Int) {
    self.model = model
    self.session = session
    self.chunk = chunk
  }

  /// Feeds `tokens` from `first` on; throws `moved` unless the session stands at `first`.
  ///
  /// - Parameters:
  ///   - rows: of which tokens of a chunk logits are computed.
  ///   - each: gets the range of each chunk once it is committed, and its logits; what it throws ends the feeding, with
  ///     the session standing behind that chunk.
  public func run(
    _ tokens: [UInt32], from first: Int, logits rows: LogitRows,
    _ each: (Range<Int>, [Float]) throws -> Void
  ) throws {
    let attention = DaemonAttention(session, model.configuration)
    try session.begin(capacity: chunk)
    guard session.info.tokens == first else {
      // Another writer committed between our look and our beginning.
      let now = session.info.tokens
      try session.abort()
      throw LagoonError(
        .moved, "session '\(session.info.name)' moved from \(first) to \(now) tokens meanwhile: run again")
    }
    var at = first
    while at < tokens.count {
      let range = at..<min(at + chunk, tokens.count)
      let logits = try model.forward(tokens[range], startPosition: at, attention: attention, logits: rows)
      try session.commit(tokenIDs: Array(tokens[range]), keepWriting: true)
      at = range.upperBound
      try each(range, logits)
    }
    try session.abort()
  }
}
