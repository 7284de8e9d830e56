import Foundation
import TestSupport
import Testing
import Tokenization

/// Random text of several kinds, from one scalar to a few dozen.
private struct RandomText {
  var generator: SeededGenerator
  private static let plain = Array(" \t\n\r'.,;:!?0123456789eatoinshrdluEATOINS".unicodeScalars)
  private static let awkward = Array(
    "\u{301}\u{323}\u{200D}\u{FE0F}\u{A0}\u{3000}\u{2028}\u{85}\u{180E}\0é한\u{1112}\u{1161}\u{11AB}天😀🇩🇪👍🏽אع٣\u{17F}’"
      .unicodeScalars)

  init(_ seed: UInt64) { generator = SeededGenerator(seed) }

  mutating func scalar(_ kind: Int) -> Unicode.Scalar {
    switch kind {
    case 0: return Self.plain.randomElement(using: &generator) ?? " "
    case 1: return Self.awkward.randomElement(using: &generator) ?? " "
    case 2: return Unicode.Scalar(UInt32.random(in: 0...0x10FFFF, using: &generator)) ?? "\u{FFFD}"
    case 3: return Unicode.Scalar(UInt32.random(in: 0...0x2FFF, using: &generator)) ?? " "
    default: return scalar(Int.random(in: 0...3, using: &generator))
    }
  }

  mutating func next() -> [UInt8] {
    var text = ""
    let kind = Int.random(in: 0...4, using: &generator)
    for _ in 0..<Int.random(in: 1...24, using: &generator) { text.unicodeScalars.append(scalar(kind)) }
    return Array(text.utf8)
  }

  /// Bytes that are UTF-8 in places.
  mutating func bytes() -> [UInt8] {
    var bytes = next()
    for _ in 0..<Int.random(in: 1...4, using: &generator) {
      let at = Int.random(in: 0...bytes.count, using: &generator)
      bytes.insert(UInt8.random(in: 0x80...0xFF, using: &generator), at: at)
      if Bool.random(using: &generator) {
        bytes.remove(at: Int.random(in: 0..<bytes.count, using: &generator))
      }
    }
    return bytes
  }
}

@Suite struct RoundTripTests {
  private static let rounds = longTests ? 100_000 : 10_000

  @Test(arguments: ["gpt2", "llama3", "smollm"]) func decodingGivesTheBytesBack(_ name: String) throws {
    let tokenizer = try Fixtures.tokenizer(name)
    var random = RandomText(1)
    for round in 0..<Self.rounds {
      let text = round % 2 == 0 ? random.next() : random.bytes()
      let ids = try tokenizer.encode(text, isBeginning: round % 3 == 0)
      if tokenizer.decode(ids) != text { Issue.record("\(text)") }
      if let id = ids.max(), Int(id) >= tokenizer.vocabularySize { Issue.record("\(id)") }
    }
  }

  /// With NFC, decoding gives a text that is canonically equivalent, and normalised: it is its own round trip.
  @Test func decodingGivesTheNormalForm() throws {
    let tokenizer = try Fixtures.tokenizer("qwen2")
    var random = RandomText(2)
    for _ in 0..<Self.rounds {
      let text = random.next()
      let once = tokenizer.decode(try tokenizer.encode(text, isBeginning: false))
      let twice = tokenizer.decode(try tokenizer.encode(once, isBeginning: false))
      // Equality of strings is the standard library's canonical equivalence. It takes three Tibetan vowel signs for starters,
      // which they are by class, though they decompose to marks; so it gets them decomposed.
      var given = String.UnicodeScalarView()
      for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
        switch scalar {
        case "\u{F73}": given += "\u{F71}\u{F72}".unicodeScalars
        case "\u{F75}": given += "\u{F71}\u{F74}".unicodeScalars
        case "\u{F81}": given += "\u{F71}\u{F80}".unicodeScalars
        default: given.append(scalar)
        }
      }
      if String(decoding: once, as: UTF8.self) != String(given) || twice != once {
        Issue.record("\(text)")
      }
    }
  }

  /// For every scalar: it and its decomposition normalise to what Foundation gives for it alone.
  @Test func everyScalarComposes() throws {
    let tokenizer = try Fixtures.tokenizer("qwen2")
    var decomposed = ""
    var expected: [UInt8] = []
    for value in (0...(longTests ? 0x10FFFF : 0x2FFFF)) as ClosedRange<UInt32> {
      guard let scalar = Unicode.Scalar(value), value >= 0xC0 else { continue }
      // Between letters that compose with nothing.
      decomposed += "q" + String(scalar).decomposedStringWithCanonicalMapping
      expected += Array("q\(String(scalar).precomposedStringWithCanonicalMapping)".utf8)
    }
    let ids = try tokenizer.encode(Array(decomposed.utf8), isBeginning: false)
    let normalized = tokenizer.decode(ids)
    // Marks compose with no q, so the stretches between them are the scalars' own.
    let stretches = normalized.split(separator: UInt8(ascii: "q"))
    let wanted = expected.split(separator: UInt8(ascii: "q"))
    #expect(stretches.count == wanted.count && wanted.count > 150_000)
    for (got, want) in zip(stretches, wanted) where got != want {
      Issue.record("\(String(decoding: want, as: UTF8.self).unicodeScalars.map(\.value))")
    }
  }

  @Test(arguments: longTests ? ["gpt2", "llama3", "qwen2", "smollm"] : ["llama3", "qwen2"])
  func longWordsAreEncoded(_ name: String) throws {
    let tokenizer = try Fixtures.tokenizer(name)
    let megabyte = 1 << 20
    let units =
      ["a", " ", "\u{301}\u{323}", "👍"] + (longTests ? ["\n", "the", "'", "1", "天", "\u{301}"] : [])
    for unit in units {
      let text = Array(repeatElement(unit.utf8, count: megabyte / unit.utf8.count).joined())
      let decoded = tokenizer.decode(try tokenizer.encode(text, isBeginning: false))
      // Arrays of a megabyte are not for #expect, which would look for their difference.
      let isSame = name == "qwen2" && unit == "\u{301}\u{323}" ? decoded.count == text.count : decoded == text
      #expect(isSame, "\(unit.debugDescription)")
    }
    let invalid = [UInt8](repeating: 0xFF, count: megabyte)
    let isSame = tokenizer.decode(try tokenizer.encode(invalid, isBeginning: true)) == invalid
    #expect(isSame)
  }

  @Test func threadsShareATokenizer() async throws {
    let tokenizer = try Fixtures.tokenizer("llama3")
    var random = RandomText(3)
    let texts = (0..<400).map { _ in random.next() }
    let alone = try texts.map { try tokenizer.encode($0, isBeginning: true) }
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for _ in 0..<8 {
        group.addTask { try texts.map { try tokenizer.encode($0, isBeginning: true) } == alone }
      }
      for try await agrees in group { #expect(agrees) }
    }
  }
}
