import Foundation

/// Finds the tokenizer of a model folder.
public enum ModelTokenizer {
  /// Loads the folder's tokenizer: bytes for a model of 256 tokens without tokenizer files.
  ///
  /// - Parameter vocabularySize: `vocab_size` of the model.
  /// - Throws: `unsupported` when the folder has another tokenizer or none that fits.
  public static func load(folder: String, vocabularySize: Int) throws(TokenizerError) -> any Tokenizer {
    for file in ["tokenizer.json", "tokenizer.model"]
    where FileManager.default.fileExists(atPath: folder + "/" + file) {
      throw TokenizerError(
        .unsupported, "this tokenizer format is not supported; a model of 256 byte tokens has no such file",
        path: folder + "/" + file)
    }
    guard vocabularySize == ByteTokenizer().vocabularySize else {
      throw TokenizerError(
        .unsupported,
        "\(vocabularySize) tokens and no tokenizer.json; without one only byte models (256) can be used with text",
        path: folder, name: "vocab_size")
    }
    return ByteTokenizer()
  }
}

extension ModelTokenizer { public static func hasChatTemplate(folder: String) -> Bool { false } }
