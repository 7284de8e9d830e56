import Foundation

extension ModelTokenizer {
  /// The SentencePiece tokenizer of a model folder: `tokenizer.model`, with `add_bos_token` (yes unless it says otherwise) and
  /// `add_eos_token` (no) of `tokenizer_config.json` where that is there. Hugging Face's `LlamaTokenizer` reads the same.
  ///
  /// - Throws: `io`, `malformed` or `unsupported`, with the file's path.
  public static func sentencePiece(folder: String) throws(TokenizerError) -> SentencePieceTokenizer {
    let options = try sentencePieceOptions(folder: folder)
    let path = folder + "/tokenizer.model"
    let bytes = try read(path, atMost: SentencePieceModel.maximumBytes)
    do {
      return try SentencePieceTokenizer(model: bytes, options: options)
    } catch {
      throw TokenizerError(error.code, error.message, path: path, name: error.name)
    }
  }

  /// The fields of `tokenizer_config.json` that matter here.
  private struct Configuration: Decodable {
    let addsBeginOfText: Bool?
    let addsEndOfText: Bool?

    enum CodingKeys: String, CodingKey {
      case addsBeginOfText = "add_bos_token"
      case addsEndOfText = "add_eos_token"
    }
  }

  /// A configuration is some kilobytes; the largest hold a thousand added tokens.
  private static let maximumConfigurationBytes = 4 << 20

  private static func sentencePieceOptions(
    folder: String
  ) throws(TokenizerError) -> SentencePieceTokenizer.Options {
    var options = SentencePieceTokenizer.Options()
    let path = folder + "/tokenizer_config.json"
    guard FileManager.default.fileExists(atPath: path) else { return options }
    let bytes = try read(path, atMost: maximumConfigurationBytes)
    let configuration: Configuration
    do {
      configuration = try JSONDecoder().decode(Configuration.self, from: Data(bytes))
    } catch {
      throw TokenizerError(
        .malformed, "not a JSON object whose add_bos_token and add_eos_token are true or false", path: path)
    }
    options.addsBeginOfText = configuration.addsBeginOfText ?? options.addsBeginOfText
    options.addsEndOfText = configuration.addsEndOfText ?? options.addsEndOfText
    return options
  }

  private static func read(_ path: String, atMost limit: Int) throws(TokenizerError) -> [UInt8] {
    do {
      let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
      defer { try? file.close() }
      let data = try file.read(upToCount: limit + 1) ?? Data()
      guard data.count <= limit else {
        throw TokenizerError(.malformed, "more than \(limit) bytes", path: path)
      }
      return [UInt8](data)
    } catch let error as TokenizerError {
      throw error
    } catch {
      throw TokenizerError(.io, "cannot read: \(error.localizedDescription)", path: path)
    }
  }
}
