import Foundation

/// Finds the tokenizer of a model folder.
public enum ModelTokenizer {
  /// Loads the folder's tokenizer: `tokenizer.json` if it is byte-level BPE, `tokenizer.model` if that is SentencePiece's, bytes
  /// for a model of 256 tokens with neither.
  ///
  /// - Parameter vocabularySize: `vocab_size` of the model.
  /// - Throws: `unsupported` when the folder has another tokenizer or none that fits; what reading its files throws.
  public static func load(folder: String, vocabularySize: Int) throws(TokenizerError) -> any Tokenizer {
    let json = folder + "/tokenizer.json"
    let model = folder + "/tokenizer.model"
    let hasModel = FileManager.default.fileExists(atPath: model)
    if FileManager.default.fileExists(atPath: json) {
      do {
        return try fitting(BytePairTokenizer(path: json), vocabularySize, path: json)
      } catch {
        // A SentencePiece model written down in this format: the model itself is read instead.
        guard error.code == .byteFallback, hasModel else { throw error }
      }
    }
    if hasModel { return try fitting(sentencePiece(folder: folder), vocabularySize, path: model) }
    guard vocabularySize == ByteTokenizer().vocabularySize else {
      throw TokenizerError(
        .unsupported,
        "\(vocabularySize) tokens and neither tokenizer.json nor tokenizer.model; without one only byte models (256) can "
          + "be used with text",
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
        path: path, name: "vocab_size")
    }
    return tokenizer
  }
}
