import Foundation

/// Finds the tokenizer of a model folder.
public enum ModelTokenizer {
  /// Loads the folder's tokenizer: bytes for a model of 256 tokens without tokenizer files.
  ///
  /// `tokenizer.json` comes first if it is there.
  ///
  /// - Parameter vocabularySize: `vocab_size` of the model, which may be larger than the tokenizer's.
  /// - Throws: `unsupported` when the folder has another tokenizer or none that fits.
  public static func load(folder: String, vocabularySize: Int) throws(TokenizerError) -> any Tokenizer {
    let json = folder + "/tokenizer.json"
    if FileManager.default.fileExists(atPath: json) {
      return try fitting(BytePairTokenizer(path: json), vocabularySize, path: json)
    }
    for file in ["tokenizer.model"]
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

  /// The tokenizer, if the model has an embedding for each of its tokens.
  private static func fitting(
    _ tokenizer: some Tokenizer, _ vocabularySize: Int, path: String
  ) throws(TokenizerError) -> any Tokenizer {
    guard tokenizer.vocabularySize <= vocabularySize else {
      throw TokenizerError(
        .unsupported, "\(vocabularySize), but the tokenizer has \(tokenizer.vocabularySize) tokens",
        path: path,
        name: "vocab_size")
    }
    return tokenizer
  }
}
