import Foundation
import StrictJSON
import TestSupport
import Testing
import Tokenization
import TrainingData

/// The committed tokenizers, and the texts that their goldens are made of.
private enum Fixtures {
  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fixtures").path

  static func tokenizer(_ name: String) throws -> any Tokenizer {
    switch name {
    case "bytes": return ByteTokenizer()
    case "bpe", "unigram":
      let url = URL(fileURLWithPath: "\(folder)/sentencepiece/\(name).model")
      return try SentencePieceTokenizer(model: [UInt8](try Data(contentsOf: url)))
    default: return try BytePairTokenizer(path: "\(folder)/tokenizers/\(name)/tokenizer.json")
    }
  }

  static func texts() throws -> [[UInt8]] {
    let url = URL(fileURLWithPath: "\(folder)/tokenizers/goldens.json")
    guard case .object(let members) = try JSONValue([UInt8](try Data(contentsOf: url))),
      case .array(let texts) = members["texts"]
    else { return [] }
    return texts.compactMap { text in
      guard case .string(let text) = text else { return nil }
      return Array(text.utf8)
    }
  }
}

/// Two equal bytes are one token, from the beginning of a run on: where a run may be cut depends on where it began.
private struct PairTokenizer: Tokenizer {
  let vocabularySize = 512
  let summary = "pairs of equal bytes"

  func encode(_ text: [UInt8], isBeginning: Bool) -> [UInt32] {
    var tokens: [UInt32] = []
    var at = 0
    while at < text.count {
      let isPair = at + 1 < text.count && text[at + 1] == text[at]
      tokens.append(UInt32(text[at]) + (isPair ? 256 : 0))
      at += isPair ? 2 : 1
    }
    return tokens
  }

  func bytes(of token: UInt32) -> [UInt8] {
    [UInt8](repeating: UInt8(token & 255), count: token < 256 ? 1 : 2)
  }
}

@Suite struct StreamingEncoderTests {
  /// Tokens of a text that comes in blocks, and how many of them came before its end.
  private func stream(
    _ text: [UInt8], _ encoder: TextEncoder, begins: Bool, partBytes: Int, _ random: inout SeededGenerator
  ) throws -> (tokens: [UInt32], early: Int) {
    var stream = StreamingEncoder(encoder, begins: begins, partBytes: partBytes)
    var tokens: [UInt32] = []
    var at = 0
    while at < text.count {
      let end = min(text.count, at + Int.random(in: 1...4_000, using: &random))
      tokens += try stream.append(text[at..<end])
      at = end
    }
    let early = tokens.count
    tokens += try stream.finish()
    return (tokens, early)
  }

  @Test(arguments: ["bytes", "gpt2", "llama3", "qwen2", "smollm", "prefixed", "bpe", "unigram"])
  func partsHaveTheTokensOfTheWholeText(name: String) throws {
    let tokenizer = try Fixtures.tokenizer(name)
    let texts = try Fixtures.texts()
    #expect(texts.count > 700)
    var random = SeededGenerator(3)
    let separators = ["", " ", "\n", "\n\n", "  ", ". ", "，"].map { Array($0.utf8) }
    var early = 0
    for round in 0..<(longTests ? 200 : 6) {
      var text: [UInt8] = []
      while text.count < 16_000 {
        text += texts.randomElement(using: &random) ?? []
        text += separators.randomElement(using: &random) ?? []
      }
      let encoder = try TextEncoder(tokenizer, addsSpecialTokens: round % 2 == 0)
      let begins = round % 3 != 0
      let whole = begins ? Array(try encoder.beginning(text)) : try encoder.continuing(text)
      let result = try stream(
        text, encoder, begins: begins, partBytes: [1, 700, 5_000][round % 3], &random)
      #expect(result.tokens == whole, "round \(round)")
      early += result.early
    }
    #expect(early > 6_000)
  }

  @Test(arguments: ["bytes", "gpt2", "llama3", "qwen2", "smollm", "bpe", "unigram"])
  func runsHaveTheTokensOfTheWholeText(name: String) throws {
    let tokenizer = try Fixtures.tokenizer(name)
    let encoder = try TextEncoder(tokenizer, addsSpecialTokens: true)
    var random = SeededGenerator(4)
    let units = ["=", "-", "a", "ab", "the", "7", " ", "\n", "\r\n", "é", "水", "the cat, ", "。水"]
    for unit in units {
      for lead in ["", "x", "12 "] {
        let text = Array(
          (lead + String(repeating: unit, count: (longTests ? 40_000 : 6_000) / unit.utf8.count)).utf8)
        let result = try stream(text, encoder, begins: true, partBytes: 1, &random)
        #expect(result.tokens == Array(try encoder.beginning(text)), "\(unit) after \(lead)")
      }
    }
  }

  @Test func aRunIsNotCutOutOfStep() throws {
    let encoder = try TextEncoder(PairTokenizer(), addsSpecialTokens: true)
    var random = SeededGenerator(6)
    var early = 0
    for round in 0..<60 {
      let run = String(repeating: "=", count: 6_000 + round)
      let text = Array((String(repeating: "ab", count: round) + run + "c " + run + "d").utf8)
      let result = try stream(text, encoder, begins: true, partBytes: 1 + 100 * round, &random)
      #expect(result.tokens == Array(try encoder.beginning(text)), "round \(round)")
      early += result.early
    }
    #expect(early > 0)
  }

  @Test func whatIsPutAroundATextIsTakenApart() throws {
    let texts = ["", "a", "some text", "</s>", "<s>"].map { Array($0.utf8) }
    for name in ["gpt2", "llama3", "prefixed", "bpe", "bytes"] {
      let tokenizer = try Fixtures.tokenizer(name)
      let with = try TextEncoder(tokenizer, addsSpecialTokens: true)
      let without = try TextEncoder(tokenizer, addsSpecialTokens: false)
      #expect(without.end == [])
      for text in texts {
        #expect(try with.beginning(text) + with.end == tokenizer.encode(text, isBeginning: true)[...])
        let around = try tokenizer.encode([], isBeginning: true).count
        #expect(try without.beginning(text).count == tokenizer.encode(text, isBeginning: true).count - around)
      }
    }
    let prefixed = try TextEncoder(Fixtures.tokenizer("prefixed"), addsSpecialTokens: true)
    #expect(prefixed.end.count == 1)
    #expect(try prefixed.beginning([]).count == 1)
  }

  @Test func bytesThatAreNotUTF8AreFoundWithTheirLine() throws {
    let encoder = try TextEncoder(ByteTokenizer(), addsSpecialTokens: true)
    var random = SeededGenerator(5)
    for _ in 0..<200 {
      let lines = Int.random(in: 0...3_000, using: &random)
      let good = (0..<lines).flatMap { _ in Array("aé水👍\n".utf8) }
      let bad: [UInt8] =
        [[0xFF], [0xC3], [0xE6, 0xB0], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0x80]]
        .randomElement(using: &random) ?? []
      let tail = Bool.random(using: &random) ? Array(" and more of it\n".utf8) : []
      let error = #expect(throws: BadText.self) {
        try stream(good + bad + tail, encoder, begins: true, partBytes: 1, &random)
      }
      #expect(error?.line == lines + 1)
      let byte = String(bad[0], radix: 16)
      #expect(error?.message == "not UTF-8 (byte 0x\(byte))")
    }
  }
}
