import Foundation
import TestSupport
import Testing
import TrainingData

@Suite struct EpochTests {
  /// A folder of texts and records of random lengths. Their tokens, all documents one after another, are 0, 1, 2, ….
  private func numbered(
    documents: Int, maximum: Int, _ random: inout SeededGenerator
  ) throws -> (folder: Folder, counts: [Int]) {
    let folder = try Folder()
    var counts: [Int] = []
    var next = 0
    var lines = ""
    for _ in 0..<documents {
      let count = Int.random(in: 2...maximum, using: &random)
      let tokens = (next..<next + count).map(String.init).joined(separator: ",")
      lines += "{\"tokens\": [\(tokens)]}\n"
      counts.append(count)
      next += count
    }
    try folder.write("a.jsonl", lines)
    return (folder, counts)
  }

  @Test func inEveryEpochEachTokenIsInOnePieceAndEachTargetInOne() throws {
    var random = SeededGenerator(7)
    for round in 0..<10 {
      let maximum = [4, 5, 16, 50][round % 4]
      let (folder, counts) = try numbered(
        documents: Int.random(in: 1...60, using: &random), maximum: 4 * maximum, &random)
      let options = try CorpusOptions(
        maximumTokens: maximum, vocabularySize: 1 << 20, seed: UInt64(round))
      let corpus = try folder.corpus("a.jsonl", options: options)
      let starts = Set(counts.indices.map { UInt32(counts[..<$0].reduce(0, +)) })
      let total = UInt32(counts.reduce(0, +))
      for epoch in 0..<4 {
        let pieces = try corpus.epoch(epoch)
        #expect(pieces.flatMap(\.tokens) == Array(0..<total))
        #expect(
          pieces.flatMap { $0.targets.compactMap { $0 } } == (0..<total).filter { !starts.contains($0) })
        #expect(pieces.allSatisfy { (2...maximum).contains($0.tokens.count) && $0.targetCount >= 1 })
        #expect(
          pieces.allSatisfy { piece in
            zip(piece.tokens, piece.targets).allSatisfy { $1 == nil || $1 == $0 + 1 }
          })
      }
      #expect(corpus.summary.training.targets == counts.reduce(0) { $0 + $1 - 1 })
      #expect(corpus.summary.training.pieces == (try corpus.epoch(0).count))
    }
  }

  @Test func laterEpochsAreCutElsewhereAndTheSameAgain() throws {
    let folder = try Folder()
    try folder.write("a.txt", String(repeating: "0123456789", count: 100))
    let corpus = try folder.corpus("a.txt", options: CorpusOptions(maximumTokens: 96, seed: 3))
    let epochs = try (0..<60).map { try corpus.epoch($0).map(\.origin) }
    // Of 57 places.
    #expect(Set(epochs).count >= 30)
    #expect(epochs[0][1] == folder.path + "/a.txt, tokens 96..<192")
    #expect(try corpus.epoch(5).map(\.origin) == epochs[5])
    let other = try folder.corpus("a.txt", options: CorpusOptions(maximumTokens: 96, seed: 4))
    #expect(try other.epoch(0).map(\.origin) == epochs[0])
    #expect(try other.epoch(1).map(\.origin) != epochs[1])
  }

  @Test func anOrderDrawsAllOfACorpus() throws {
    var random = SeededGenerator(8)
    // More documents than the table of pieces keeps sums of.
    let (folder, counts) = try numbered(documents: 9_000, maximum: 12, &random)
    try folder.write("b.txt", "a text of its own")
    let options = try CorpusOptions(maximumTokens: 8, vocabularySize: 1 << 20)
    let corpus = try folder.corpus("a.jsonl=3", "b.txt=0.1", options: options)
    var order = corpus.order(seed: 9)
    var seen = Set<UInt32>()
    while order.epoch(ofSource: 0) == 0 {
      let draw = order.next()
      let document = try corpus.document(draw)
      if draw.source == 0 { for token in document.tokens { #expect(seen.insert(token).inserted) } }
    }
    #expect(seen.count == counts.reduce(0, +))
    for epoch in [0, 1] {
      #expect(try corpus.epoch(epoch).flatMap(\.tokens) == (0..<UInt32(seen.count)).map { $0 })
    }
  }

  @Test func theLastShareOfATextIsHeldOut() throws {
    let folder = try Folder()
    let text = (0..<1_000).map { String(UnicodeScalar(UInt8(0x21 + $0 % 90))) }.joined()
    try folder.write("a.txt", text)
    let corpus = try folder.corpus("a.txt", options: CorpusOptions(maximumTokens: 64, holdOut: 0.05))
    let held = try corpus.heldOutDocuments
    #expect(held.map(\.text).joined() == text.suffix(50))
    #expect(held[0].origin == folder.path + "/a.txt, tokens 950..<1000")
    for epoch in 0..<3 {
      let training = try corpus.epoch(epoch)
      #expect(training.map(\.text).joined() == text.prefix(950))
      // Not even as a target.
      #expect(training.last?.targets.last == .some(nil))
    }
    let summary = corpus.summary.heldOut
    #expect(summary.pieces == 1 && summary.tokens == 50 && summary.targets == 49)
  }

  @Test func theBorderInTheKingJamesBible() throws {
    let folder = try Folder()
    try folder.write("a.txt", [UInt8](repeating: 0x61, count: 4_137_850))
    let corpus = try folder.corpus("a.txt", options: CorpusOptions(maximumTokens: 1_024, holdOut: 0.05))
    #expect(corpus.summary.training.tokens == 3_930_957)
    #expect(corpus.summary.heldOut.tokens == 4_137_850 - 3_930_957)
  }

  @Test func theLastShareOfAFolderOfTextsIsHeldOut() throws {
    let folder = try Folder()
    for (name, count) in [("a", 100), ("b", 50), ("c", 50)] {
      try folder.write("data/\(name).txt", String(repeating: name, count: count))
    }
    func texts(_ share: Double) throws -> [String] {
      let corpus = try folder.corpus("data", options: CorpusOptions(maximumTokens: 200, holdOut: share))
      let training = try corpus.epoch().map { "\($0.tokens.count)\($0.text.prefix(1))" }
      let held = try corpus.heldOutDocuments.map { "\($0.tokens.count)\($0.text.prefix(1))" }
      return training + ["|"] + held
    }
    #expect(try texts(0.1) == ["100a", "50b", "30c", "|", "20c"])
    #expect(try texts(0.25) == ["100a", "50b", "|", "50c"])
    #expect(try texts(0.3) == ["100a", "40b", "|", "10b", "50c"])
    // One token is no document: the border moves to the text's.
    #expect(try texts(0.255) == ["100a", "50b", "|", "50c"])
    #expect(try texts(0.245) == ["100a", "50b", "|", "50c"])
    let none = #expect(throws: DataError.self) { try texts(0.004) }
    #expect(none?.code == .empty && none?.message == "too short for a share of 0.004 to be held out")
    let all = #expect(throws: DataError.self) { try texts(0.999) }
    #expect(all?.code == .empty && all?.message.hasPrefix("nothing is left to train on") == true)
  }

  @Test func theLastShareOfRecordsIsHeldOut() throws {
    let folder = try Folder()
    let lines = (10..<30).map { "{\"text\": \"\($0) \(String(repeating: "x", count: $0))\"}" }
    try folder.write("data/a.jsonl", lines.joined(separator: "\n"))
    try folder.write("data/z.txt", String(repeating: "z", count: 500))
    let corpus = try folder.corpus("data", options: CorpusOptions(maximumTokens: 500, holdOut: 0.15))
    // 21 documents: 17 are for training.
    #expect(try corpus.epoch().map { $0.text.prefix(2) } == (10..<27).map { "\($0)" })
    #expect(try corpus.heldOutDocuments.map { $0.text.prefix(2) } == ["27", "28", "29", "zz"])
  }

  @Test func aSingleRecordIsDividedUnlessItIsAQuestion() throws {
    let folder = try Folder()
    try folder.write("a.jsonl", "{\"text\": \"0123456789\"}")
    let options = try CorpusOptions(maximumTokens: 64, holdOut: 0.2)
    let corpus = try folder.corpus("a.jsonl", options: options)
    #expect(try corpus.epoch().map(\.text) == ["01234567"])
    #expect(try corpus.heldOutDocuments.map(\.text) == ["89"])
    try folder.write("a.jsonl", "{\"context\": \"0123\", \"question\": \"45\", \"answer\": \"6789\"}")
    #expect(
      try folder.failure("a.jsonl", options: options)
        == "a.jsonl: too short for a share of 0.2 to be held out")
  }

  @Test func heldOutDocumentsOfAllSources() throws {
    let folder = try Folder()
    try folder.write("a.txt", String(repeating: "a", count: 100))
    try folder.write("b.txt", String(repeating: "b", count: 300))
    let corpus = try folder.corpus("a.txt", "b.txt", options: CorpusOptions(maximumTokens: 16, holdOut: 0.1))
    #expect(
      try corpus.heldOutDocuments.map(\.text)
        == ["a", "b", "b"].enumerated().map {
          String(repeating: $1, count: [10, 16, 14][$0])
        })
    #expect(corpus.heldOutCount == 3)
  }
}
