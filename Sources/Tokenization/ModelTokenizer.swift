import Foundation

/// Finds the tokenizer of a model folder.
public enum ModelTokenizer {
  /// Loads the folder's tokenizer: bytes for a model of 256 tokens without tokenizer files.
  ///
  /// - Parameter vocabularySize: `vocab_size` of the model.
  /// - Throws: `unsupported` when the folder has another tokenizer or none that fits.
  public static func load(folder: String, vocabularySize: Int) throws(TokenizerError) -> any Tokenizer {
    if FileManager.default.fileExists(atPath: folder + "/tokenizer.json") {
      throw TokenizerError(
        .unsupported, "this tokenizer format is not supported; a model of 256 byte tokens has no such file",
        path: folder + "/tokenizer.json")
    }
    if FileManager.default.fileExists(atPath: folder + "/tokenizer.model") {
      let tokenizer = try sentencePiece(folder: folder)
      guard tokenizer.vocabularySize <= vocabularySize else {
        throw TokenizerError(
          .unsupported, "\(tokenizer.vocabularySize) tokens, but the model has \(vocabularySize)",
          path: folder + "/tokenizer.model", name: "vocab_size")
      }
      return tokenizer
    }
    guard vocabularySize == ByteTokenizer().vocabularySize else {
      throw TokenizerError(
        .unsupported,
        "\(vocabularySize) tokens and neither tokenizer.json nor tokenizer.model; without one only byte models (256) can be used with text",
        path: folder, name: "vocab_size")
    }
    return ByteTokenizer()
  }
}

extension ModelTokenizer { public static func hasChatTemplate(folder: String) -> Bool { false } }
