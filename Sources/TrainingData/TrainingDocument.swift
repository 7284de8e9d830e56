/// A document, or a piece of a long one, with what is to be predicted.
public struct TrainingDocument: Sendable, Hashable {
  /// `[tokens]`, at least 2.
  public let tokens: [UInt32]
  /// `[tokens]`: what follows each token, nil where the loss does not count it; at least one is not nil. The last token of a
  /// piece that is not its document's last is followed by the next piece's first.
  public let targets: [UInt32?]
  /// Where it is from: `f.jsonl:12`, `book.txt, tokens 4096..<8192`.
  public let origin: String
  /// Bytes of text that the targets stand for; 0 for records of tokens, whose text is not known.
  public let bytes: Int

  public init(tokens: [UInt32], targets: [UInt32?], origin: String, bytes: Int) {
    precondition(tokens.count >= 2 && targets.count == tokens.count, "no document")
    self.tokens = tokens
    self.targets = targets
    self.origin = origin
    self.bytes = bytes
  }

  /// How many tokens are to be predicted.
  public var targetCount: Int { targets.count { $0 != nil } }
}
