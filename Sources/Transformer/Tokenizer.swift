import Foundation

/// Text to token ids and back. Text is bytes: a document need not be valid UTF-8, and one token need not be a whole character.
public protocol Tokenizer: Sendable {
  /// Ids lie in `0..<vocabularySize`.
  var vocabularySize: Int { get }
  func encode(_ text: [UInt8]) throws(ModelError) -> [UInt32]
  /// The bytes of a run of tokens. Ids outside of the vocabulary give none.
  func decode(_ tokens: [UInt32]) -> [UInt8]
}

/// Each byte is a token: id 65 is "A".
public struct ByteTokenizer: Tokenizer {
  public let vocabularySize = 256

  public init() {}

  public func encode(_ text: [UInt8]) -> [UInt32] { text.map(UInt32.init) }

  public func decode(_ tokens: [UInt32]) -> [UInt8] { tokens.compactMap { UInt8(exactly: $0) } }
}

extension ModelConfiguration {
  /// The tokenizer of a model folder: bytes for a model of 256 tokens without tokenizer files.
  ///
  /// - Throws: `unsupported` when the folder has another tokenizer or none that fits.
  public func tokenizer(folder: String) throws(ModelError) -> any Tokenizer {
    for file in ["tokenizer.json", "tokenizer.model"]
    where FileManager.default.fileExists(atPath: folder + "/" + file) {
      throw ModelError(
        .unsupported, "this tokenizer format is not supported; a model of 256 byte tokens has no such file",
        path: folder + "/" + file)
    }
    guard vocabularySize == ByteTokenizer().vocabularySize else {
      throw ModelError(
        .unsupported,
        "\(vocabularySize) tokens and no tokenizer.json; without one only byte models (256) can be used with text",
        path: folder, name: "vocab_size")
    }
    return ByteTokenizer()
  }
}
