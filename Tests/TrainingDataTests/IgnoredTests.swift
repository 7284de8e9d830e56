import Foundation
import TestSupport
import Testing
import Tokenization
import TrainingData

/// Parts of a text that are not to be predicted.
@Suite struct IgnoredTests {
  private struct Line: Encodable {
    var text: String
    var ignored: [[Int]]?
  }

  private func write(_ lines: [Line], to name: String, _ folder: Folder) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    let text = try lines.map { String(decoding: try encoder.encode($0), as: UTF8.self) + "\n" }
    try folder.write(name, text.joined())
  }

  /// Tokens of three letters a–z, the last one shorter, behind a begin-of-text token: three digits to the base of 27.
  private struct Triples: Tokenizer {
    let vocabularySize = 27 * 27 * 27
    let summary = "triples"

    func encode(_ text: [UInt8], isBeginning: Bool) -> [UInt32] {
      (isBeginning ? [0] : [])
        + stride(from: 0, to: text.count, by: 3).map { start in
          text[start..<min(start + 3, text.count)].reduce(0) { 27 * $0 + UInt32($1 - 0x60) }
        }
    }

    func bytes(of token: UInt32) -> [UInt8] {
      let digits = [token / (27 * 27), token / 27 % 27, token % 27]
      return digits.filter { $0 > 0 }.map { UInt8($0 + 0x60) }
    }
  }

  /// Text is put into lower case before it is cut into bytes.
  private struct Lowering: Tokenizer {
    let vocabularySize = 256
    let summary = "lower case"

    func encode(_ text: [UInt8], isBeginning: Bool) -> [UInt32] {
      text.map { UInt32((0x41...0x5A).contains($0) ? $0 + 0x20 : $0) }
    }

    func bytes(of token: UInt32) -> [UInt8] { [UInt8(token)] }
  }

  /// Ascending ranges within a text, apart or touching.
  private func ranges(_ count: Int, _ random: inout SeededGenerator) -> [[Int]] {
    var ranges: [[Int]] = []
    var from = Int.random(in: 0...3, using: &random)
    while from < count {
      let end = min(count, from + Int.random(in: 1...5, using: &random))
      ranges.append([from, end])
      from = end + Int.random(in: 0...4, using: &random)
    }
    return ranges
  }

  @Test func onlyTheOthersAreTargetsInEveryEpochAndEachIsOnce() throws {
    var random = SeededGenerator(21)
    for tokenizer: any Tokenizer in [ByteTokenizer(), Triples()] {
      var lines: [Line] = []
      for _ in 0..<200 {
        let length = Int.random(in: 8...60, using: &random)
        let letters = (0..<length).map { _ in UInt8.random(in: 0x61...0x7A, using: &random) }
        // The last token stays, so that each text has a target.
        let ignored = ranges(length - 3, &random)
        lines.append(Line(text: String(decoding: letters, as: UTF8.self), ignored: ignored))
      }
      let folder = try Folder()
      try write(lines, to: "a.jsonl", folder)
      let options = try CorpusOptions(maximumTokens: 64, holdOut: 0.2)
      for open in 0..<2 {
        let corpus = try folder.corpus("a.jsonl", options: options, tokenizer: tokenizer)
        #expect(corpus.summary.isReused == (open == 1))
        let held = try corpus.heldOutDocuments
        #expect(held.count == 40)
        for epoch in 0..<3 {
          let documents = try corpus.epoch(epoch) + held
          #expect(documents.count == 200)
          for (line, document) in zip(lines, documents) { check(document, line, tokenizer) }
        }
        let training = try corpus.epoch()
        #expect(corpus.summary.training.targets == training.reduce(0) { $0 + $1.targetCount })
        #expect(corpus.summary.heldOut.targets == held.reduce(0) { $0 + $1.targetCount })
      }
    }
  }

  /// Goes over the text's bytes one by one.
  private func check(_ document: TrainingDocument, _ line: Line, _ tokenizer: any Tokenizer) {
    let text = Array(line.text.utf8)
    var isIgnored = [Bool](repeating: false, count: text.count)
    for range in line.ignored ?? [] { for at in range[0]..<range[1] { isIgnored[at] = true } }
    #expect(tokenizer.decode(document.tokens) == text)
    var at = 0
    var bytes = 0
    for (index, token) in document.tokens.enumerated() {
      let length = tokenizer.bytes(of: token).count
      let isTarget = index > 0 && !isIgnored[at..<at + length].contains(true)
      if index > 0 { #expect(document.targets[index - 1] == (isTarget ? token : nil)) }
      if isTarget { bytes += length }
      at += length
    }
    #expect(document.targets.last == .some(nil))
    #expect(document.bytes == bytes)
  }

  @Test func withoutRangesEverythingIsAsItWas() throws {
    let texts = (0..<40).map { String(repeating: "text \($0) ", count: $0 + 1) }
    let plain = try Folder()
    let empty = try Folder()
    // A range of nothing but the first token, which is no target anyway, is none either.
    let first = try Folder()
    try write(texts.map { Line(text: $0) }, to: "a.jsonl", plain)
    try write(texts.map { Line(text: $0, ignored: []) }, to: "a.jsonl", empty)
    try write(texts.map { Line(text: $0, ignored: [[0, 1]]) }, to: "a.jsonl", first)
    let options = try CorpusOptions(maximumTokens: 32, holdOut: 0.1)
    let expected = try plain.corpus("a.jsonl", options: options)
    #expect(expected.summary.training.pieces > 100)
    for folder in [empty, first] {
      let corpus = try folder.corpus("a.jsonl", options: options)
      #expect(corpus.fingerprint == expected.fingerprint)
      for name in ["source-0.tokens", "source-0.documents"] {
        #expect(try folder.bytes("spool/" + name) == plain.bytes("spool/" + name))
      }
      for epoch in 0..<3 {
        #expect(try corpus.epoch(epoch).map(\.targets) == expected.epoch(epoch).map(\.targets))
      }
    }
    // The words are the ids, as they were.
    let tokens = try plain.bytes("spool/source-0.tokens")
    #expect(tokens == texts.joined().utf8.flatMap { [$0, 0, 0, 0] })
  }

  @Test func suchTextsAreNotCutNorDivided() throws {
    let folder = try Folder()
    try write([Line(text: "0123456789", ignored: [[2, 4]])], to: "a.jsonl", folder)
    #expect(
      try folder.failure("a.jsonl", options: CorpusOptions(maximumTokens: 9))
        == "a.jsonl:1: 10 tokens, longer than --length 9; a text with ignored ranges is not cut")
    #expect(
      try folder.failure("a.jsonl", options: CorpusOptions(maximumTokens: 64, holdOut: 0.2))
        == "a.jsonl: too short for a share of 0.2 to be held out")
    #expect(try folder.corpus("a.jsonl").epoch().map(\.targetText) == ["1456789"])
    // The spool is there now; its reader refuses as its writer did.
    #expect(
      try folder.failure("a.jsonl", options: CorpusOptions(maximumTokens: 9))
        == "a.jsonl:1: 10 tokens, longer than --length 9; a text with ignored ranges is not cut")
  }

  @Test func aTokenizerThatChangesTheTextCannotSayWhatIsIgnored() throws {
    let folder = try Folder()
    try write(
      [Line(text: "all fine"), Line(text: "fine", ignored: [[0, 2]]), Line(text: "In", ignored: [[0, 1]])],
      to: "a.jsonl", folder)
    let error = #expect(throws: DataError.self) { try folder.corpus("a.jsonl", tokenizer: Lowering()) }
    #expect(error?.line == 3 && error?.message.contains("do not hold exactly the text's bytes") == true)
    try write([Line(text: "all Fine")], to: "a.jsonl", folder)
    #expect(try folder.corpus("a.jsonl", tokenizer: Lowering()).epoch().map(\.text) == ["all fine"])
  }

  @Test func vocabulariesLeaveRoomForTheMark() throws {
    struct Large: Tokenizer {
      let vocabularySize = 1 << 31 + 1
      let summary = "large"
      func encode(_ text: [UInt8], isBeginning: Bool) -> [UInt32] { text.map(UInt32.init) }
      func bytes(of token: UInt32) -> [UInt8] { [] }
    }
    let folder = try Folder()
    try folder.write("a.txt", "text")
    let error = #expect(throws: DataError.self) { try folder.corpus("a.txt", tokenizer: Large()) }
    #expect(error?.code == .invalidArgument && error?.message.contains("2^31") == true)
  }

  @Test func aMarkThatAppearsOrGoesWhileTheSpoolIsOpenIsNoted() throws {
    let folder = try Folder()
    try write([Line(text: "0123456789", ignored: [[2, 4]]), Line(text: "plain")], to: "a.jsonl", folder)
    let corpus = try folder.corpus("a.jsonl")
    let handle = try #require(FileHandle(forWritingAtPath: folder.path + "/spool/source-0.tokens"))
    for (token, byte) in [(2, UInt8(0)), (5, 0x80), (12, 0x80)] {
      let words = try folder.bytes("spool/source-0.tokens")
      try handle.seek(toOffset: UInt64(4 * token + 3))
      try handle.write(contentsOf: Data([byte]))
      let draw = Draw(source: 0, epoch: 0, index: token < 10 ? 0 : 1)
      #expect(#expect(throws: DataError.self) { try corpus.document(draw) }?.code == .damaged)
      try handle.seek(toOffset: 0)
      try handle.write(contentsOf: Data(words))
      #expect(try corpus.document(draw).tokens.count >= 5)
    }
  }
}
