import Foundation
import TestSupport
import Testing
import Tokenization

@Suite struct SentencePieceTokenizerTests {
  /// Fragments that meet in every order: words, spaces, breaks, marks, scripts.
  static let fragments = [
    "the", " the", " ", "  ", "\n", "\r\n", "\t", "LORD", "unto", "a", "e", "\u{301}", "é", "水", "👩‍🚀",
    "\u{A0}", "\u{3000}", "\0",
    "7", "42", "'s", ".", ", ", "<s>", "\u{7F}", "ﬁ", "\u{200B}", "Ж", "\u{1}", "½", "x x",
  ]

  static func text(_ random: inout SeededGenerator, fragments count: Int, also: [String] = []) -> [UInt8] {
    (0..<count).flatMap { _ in (fragments + also).randomElement(using: &random)?.utf8.map { $0 } ?? [] }
  }

  static func scalars(_ random: inout SeededGenerator, _ count: Int) -> [UInt8] {
    var text = String.UnicodeScalarView()
    while text.count < count {
      let limit: UInt32 = [0x80, 0x800, 0x1_0000, 0x11_0000].randomElement(using: &random) ?? 0x80
      if let scalar = Unicode.Scalar(UInt32.random(in: 0..<limit, using: &random)), scalar != "\u{2581}" {
        text.append(scalar)
      }
    }
    return Array(String(text).utf8)
  }

  @Test func textComesBackWithByteFallback() throws {
    let tokenizer = try SentencePieceFixtures.tokenizer("bpe")
    var random = SeededGenerator(1)
    for round in 0..<20_000 * SentencePieceFixtures.effort {
      let text =
        round % 2 == 0
        ? Self.scalars(&random, Int.random(in: 0...24, using: &random))
        : Self.text(&random, fragments: Int.random(in: 0...24, using: &random))
      let ids = try tokenizer.encode(text, isBeginning: true)
      #expect(tokenizer.decode(ids) == text)
      let continued = try tokenizer.encode(text, isBeginning: false)
      #expect(continued.flatMap(tokenizer.bytes(of:)) == text)
    }
  }

  @Test(arguments: ["bpe", "unigram"]) func partsGiveTheTokensOfTheWhole(_ model: String) throws {
    let tokenizer = try SentencePieceFixtures.tokenizer(model)
    var random = SeededGenerator(2)
    for _ in 0..<5_000 {
      let text = Self.text(&random, fragments: Int.random(in: 0...40, using: &random), also: ["\u{2581}"])
      for isBeginning in [true, false] {
        #expect(
          try tokenizer.encode(text, isBeginning: isBeginning)
            == tokenizer.encodeWhole(text, isBeginning: isBeginning),
          "\(String(decoding: text, as: UTF8.self))")
      }
    }
    // Long enough for unigram's parts, short enough for its sums.
    for _ in 0..<3 {
      let text = Self.text(&random, fragments: 60_000)
      #expect(text.count > 128 << 10)
      #expect(try tokenizer.encode(text, isBeginning: true) == tokenizer.encodeWhole(text, isBeginning: true))
    }
  }

  /// Models made to break a cut: pieces that hold spaces and line feeds, squeezed spaces, no prefix, no byte fallback.
  @Test(arguments: [0, 1] as [UInt64], [0, 1] as [UInt64]) func partsOfAwkwardModels(
    _ squeezes: UInt64, _ prefix: UInt64
  ) throws {
    let letters = ["a", "b", "\u{2581}", "\n"].enumerated().map {
      ModelBytes.piece($1, score: -10 - Float($0))
    }
    let merged = [
      "\u{2581}a", "a\u{2581}", "\u{2581}\u{2581}", "a\n", "\u{2581}\n", "\n\u{2581}", "b\u{2581}a", "ab",
      "\u{2581}ab", "\u{2581}\u{2581}\u{2581}",
    ]
    var random = SeededGenerator(3)
    for round in 0..<60 {
      let chosen = merged.shuffled(using: &random).prefix(Int.random(in: 0...6, using: &random)).enumerated()
        .map {
          ModelBytes.piece($1, score: -Float($0), kind: round % 3 == 0 && $0 == 0 ? 4 : $0 == 1 ? 5 : 1)
        }
      let bytes = ModelBytes.model(
        letters + chosen, normalizer: ModelBytes.integer(3, prefix) + ModelBytes.integer(4, squeezes))
      let tokenizer = try SentencePieceTokenizer(model: bytes)
      for _ in 0..<200 {
        let text = (0..<Int.random(in: 0...12, using: &random)).flatMap { _ in
          Array((["a", "b", " ", "\n", "c", "\u{2581}", "é"].randomElement(using: &random) ?? "a").utf8)
        }
        for isBeginning in [true, false] {
          let ids = try tokenizer.encode(text, isBeginning: isBeginning)
          let whole = try tokenizer.encodeWhole(text, isBeginning: isBeginning)
          #expect(
            ids == (isBeginning ? [1] : []) + whole,
            "\(String(decoding: text, as: UTF8.self).debugDescription)")
        }
      }
    }
  }

  @Test func aContinuationIsEncodedAsWithinTheText() throws {
    let tokenizer = try SentencePieceFixtures.tokenizer("bpe")
    let squeezing = try SentencePieceFixtures.tokenizer("unigram")
    for (head, tail) in [
      ("In the beginning", " God created"), ("unto Moses,", " saying, and"), ("a", " b c"),
    ] {
      for tokenizer in [tokenizer, squeezing] {
        let whole = try tokenizer.encode(Array((head + tail).utf8), isBeginning: true)
        let first = try tokenizer.encode(Array(head.utf8), isBeginning: true)
        #expect(try whole == first + tokenizer.encode(Array(tail.utf8), isBeginning: false))
      }
    }
    let inside = try tokenizer.encode(Array("the".utf8), isBeginning: false)
    #expect(inside.flatMap(tokenizer.bytes(of:)) == Array("the".utf8))
    #expect(try tokenizer.encode([], isBeginning: false) == [])
  }

  @Test func whatIsAddedAroundADocument() throws {
    let bytes = try SentencePieceFixtures.bytes("bpe.model")
    var options = SentencePieceTokenizer.Options()
    let plain = try SentencePieceFixtures.tokenizer("bpe").encode(Array("Hello".utf8), isBeginning: true)
    #expect(
      try SentencePieceTokenizer(model: bytes).encode(Array("Hello".utf8), isBeginning: true) == [1] + plain)
    options.addsEndOfText = true
    let both = try SentencePieceTokenizer(model: bytes, options: options)
    #expect(try both.encode(Array("Hello".utf8), isBeginning: true) == [1] + plain + [2])
    #expect(try both.encode([], isBeginning: true) == [1, 2])
    #expect(both.decode([1] + plain + [2]) == Array("Hello".utf8))
    #expect(try !both.encode(Array("Hello".utf8), isBeginning: false).contains { $0 <= 2 })
  }

  @Test func textThatIsNotUTF8IsRefusedWithItsOffset() throws {
    let tokenizer = try SentencePieceFixtures.tokenizer("bpe")
    for bad: [UInt8] in [
      [0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xE2, 0x82], [0x80],
    ] {
      let error = #expect(throws: TokenizerError.self) {
        try tokenizer.encode(Array("aé".utf8) + bad, isBeginning: true)
      }
      #expect(error?.code == .invalidText && error?.message.contains("byte 3") == true)
    }
  }

  @Test func longTextsAndZeroBytes() throws {
    let tokenizer = try SentencePieceFixtures.tokenizer("bpe")
    let words = Array("And the LORD said unto him,\0 what is that in thine hand?\n".utf8)
    let text = Array(repeatElement(words, count: (16 << 20) / words.count).joined())
    let ids = try tokenizer.encode(text, isBeginning: true)
    #expect(tokenizer.decode(ids) == text)
    let zeros = [UInt8](repeating: 0, count: 100_000)
    #expect(try tokenizer.decode(tokenizer.encode(zeros, isBeginning: true)) == zeros)
  }

  @Test func manyThreadsUseOneTokenizer() async throws {
    let tokenizer = try SentencePieceFixtures.tokenizer("unigram")
    let texts = (0..<8).map { seed in
      var random = SeededGenerator(UInt64(seed))
      return Self.text(&random, fragments: 2_000)
    }
    let expected = try texts.map { try tokenizer.encode($0, isBeginning: true) }
    await withTaskGroup(of: Bool.self) { group in
      for (text, ids) in zip(texts, expected) {
        group.addTask { (0..<20).allSatisfy { _ in (try? tokenizer.encode(text, isBeginning: true)) == ids } }
      }
      for await same in group { #expect(same) }
    }
  }
}
