import Foundation
import StrictJSON

extension ModelTokenizer {
  /// The SentencePiece tokenizer of a model folder: `tokenizer.model`, with `add_bos_token` (yes unless it says otherwise) and
  /// `add_eos_token` (no) of `tokenizer_config.json` where that is there. Hugging Face's `LlamaTokenizer` reads the same.
  ///
  /// - Throws: `io`, `malformed` or `unsupported`, with the file's path.
  public static func sentencePiece(folder: String) throws(TokenizerError) -> SentencePieceTokenizer {
    let options = try sentencePieceOptions(folder: folder)
    let path = folder + "/tokenizer.model"
    let bytes = try FileBytes.read(path, atMost: SentencePieceModel.maximumBytes)
    do {
      return try SentencePieceTokenizer(model: bytes, options: options)
    } catch {
      throw TokenizerError(error.code, error.message, path: path, name: error.name)
    }
  }

  /// A configuration is some kilobytes; the largest hold a thousand added tokens and a chat template.
  private static let maximumConfigurationBytes = 4 << 20

  private static func sentencePieceOptions(
    folder: String
  ) throws(TokenizerError) -> SentencePieceTokenizer.Options {
    var options = SentencePieceTokenizer.Options()
    let path = folder + "/tokenizer_config.json"
    guard FileManager.default.fileExists(atPath: path) else { return options }
    let bytes = try FileBytes.read(path, atMost: maximumConfigurationBytes)
    do throws(JSONError) {
      var scanner = JSONScanner(bytes.span)
      try scanner.beginObject()
      while let name = try scanner.nextName() {
        let isNull = try scanner.kind() == .null
        switch name {
        case "add_bos_token" where !isNull: options.addsBeginOfText = try scanner.boolean()
        case "add_eos_token" where !isNull: options.addsEndOfText = try scanner.boolean()
        default: try scanner.skipValue()
        }
      }
      try scanner.finish()
    } catch {
      throw TokenizerError(
        .malformed, "not a JSON object whose add_bos_token and add_eos_token are true or false: \(error)",
        path: path)
    }
    return options
  }
}
