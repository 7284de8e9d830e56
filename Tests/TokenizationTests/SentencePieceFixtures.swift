import Foundation
import TestSupport
import Tokenization

/// The committed models and goldens; `tools/compare/train_sentencepiece.py` made them.
enum SentencePieceFixtures {
  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fixtures/sentencepiece")

  static func bytes(_ file: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: folder.appendingPathComponent(file)))
  }

  /// How much longer than usual `make test-long` runs what is random.
  static let effort = longTests ? 50 : 1

  /// Without begin-of-text, as the Python package encodes.
  static func tokenizer(_ model: String) throws -> SentencePieceTokenizer {
    var options = SentencePieceTokenizer.Options()
    options.addsBeginOfText = false
    return try SentencePieceTokenizer(model: try bytes(model + ".model"), options: options)
  }
}

struct SentencePieceGoldens: Decodable {
  struct Case: Decodable {
    let text: String
    let ids: [UInt32]
    let decoded: String
  }

  let models: [String: [Case]]
}

/// Builds `ModelProto` messages, right and wrong ones.
struct ModelBytes {
  static func varint(_ value: UInt64) -> [UInt8] {
    value < 0x80 ? [UInt8(value)] : [UInt8(value & 0x7F) | 0x80] + varint(value >> 7)
  }

  static func field(_ number: UInt64, _ bytes: [UInt8]) -> [UInt8] {
    varint(number << 3 | 2) + varint(UInt64(bytes.count)) + bytes
  }

  static func integer(_ number: UInt64, _ value: UInt64) -> [UInt8] { varint(number << 3) + varint(value) }

  static func float(_ number: UInt64, _ value: Float) -> [UInt8] {
    varint(number << 3 | 5) + (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) }
  }

  /// `kind`: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
  static func piece(_ piece: [UInt8], score: Float = 0, kind: UInt64 = 1) -> [UInt8] {
    field(1, field(1, piece) + float(2, score) + integer(3, kind))
  }

  static func piece(_ text: String, score: Float = 0, kind: UInt64 = 1) -> [UInt8] {
    piece(Array(text.utf8), score: score, kind: kind)
  }

  /// `<unk>`, `<s>`, `</s>` and the pieces, BPE (2) or unigram (1), spaces kept, no normalisation.
  static func model(
    _ pieces: [[UInt8]], algorithm: UInt64 = 2, trainer: [UInt8] = [], normalizer: [UInt8] = integer(4, 0)
  ) -> [UInt8] {
    piece("<unk>", kind: 2) + piece("<s>", kind: 3) + piece("</s>", kind: 3) + pieces.joined()
      + field(2, integer(3, algorithm) + trainer) + field(3, normalizer)
  }
}
