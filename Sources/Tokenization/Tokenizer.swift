/// Text to token ids and back. Text is bytes: a document need not be valid UTF-8, and one token need not be a whole character.
public protocol Tokenizer: Sendable {
  /// Ids lie in `0..<vocabularySize`.
  var vocabularySize: Int { get }

  /// What it is, for people, such as `byte-level BPE, 151,669 tokens`.
  var summary: String { get }

  /// The ids of a text.
  ///
  /// - Parameter isBeginning: whether the text begins a document. If so, what the tokenizer puts around a whole text (most
  ///   often a begin-of-text token) is added; a text that continues another one gets nothing.
  func encode(_ text: [UInt8], isBeginning: Bool) throws(TokenizerError) -> [UInt32]

  /// The bytes of one token within a text, to be joined with its neighbours'. Special tokens and ids outside of the
  /// vocabulary give none.
  func bytes(of token: UInt32) -> [UInt8]

  /// The bytes of a run of tokens that begins a document.
  func decode(_ tokens: [UInt32]) -> [UInt8]
}

extension Tokenizer {
  public func decode(_ tokens: [UInt32]) -> [UInt8] { tokens.flatMap(bytes(of:)) }
}
