import Foundation
import TestSupport
import Testing
import Tokenization
import TrainingData

@Suite struct SpoolTests {
  private struct Stop: Error {}

  private func files(_ folder: Folder) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder.path + "/spool").sorted()
  }

  private func sample() throws -> Folder {
    let folder = try Folder()
    try folder.write("data/a.txt", String(repeating: "In the beginning. ", count: 20))
    try folder.write("data/b.jsonl", "{\"text\": \"one two\"}\n{\"tokens\": [5, 6, 7]}\n{\"text\": \"x\"}\n")
    try folder.write("c.jsonl", "{\"context\": \"c\", \"question\": \"q\", \"answer\": \"a\"}\n")
    return folder
  }

  private func open(
    _ folder: Folder, length: Int = 64, holdOut: Double = 0, seed: UInt64 = 0, weight: String = "",
    name: String = "bytes", special: Bool = true
  ) throws -> Corpus {
    let options = try CorpusOptions(
      maximumTokens: length, skipBad: true, addsSpecialTokens: special, holdOut: holdOut, seed: seed)
    return try folder.corpus("data", "c.jsonl" + weight, options: options, name: name)
  }

  @Test func aSpoolIsUsedAgainWhileItsTokensWouldBeTheSame() throws {
    let folder = try sample()
    let first = try open(folder)
    #expect(!first.summary.isReused)
    #expect(
      try files(folder) == [
        "manifest.json", "source-0.documents", "source-0.tokens", "source-1.documents", "source-1.tokens",
      ])
    for same in [
      try open(folder), try open(folder, length: 16), try open(folder, seed: 1),
      try open(folder, weight: "=2"),
    ] {
      #expect(same.summary.isReused)
      #expect(same.summary.sources.map(\.tokens) == first.summary.sources.map(\.tokens))
      #expect(same.summary.sources.map(\.firstSkipped) == first.summary.sources.map(\.firstSkipped))
    }
    #expect(try open(folder).epoch() == first.epoch())
    #expect(!(try open(folder, name: "other").summary.isReused))
    #expect(!(try open(folder, name: "other", special: false).summary.isReused))
    #expect(!(try open(folder).summary.isReused))
    try folder.write("data/d.txt", "new")
    #expect(!(try open(folder).summary.isReused))
    try folder.write("data/d.txt", "old")
    #expect(!(try open(folder).summary.isReused))
    #expect(try open(folder).summary.isReused)
  }

  @Test func theFingerprintStandsForAllThatDrawsDependOn() throws {
    let folder = try sample()
    let fingerprint = try open(folder).fingerprint
    #expect(try open(folder).fingerprint == fingerprint)
    #expect(try open(sample()).fingerprint == fingerprint)
    let others = [
      try open(folder, length: 63), try open(folder, seed: 1), try open(folder, weight: "=2"),
    ]
    .map(\.fingerprint)
    #expect(Set(others + [fingerprint]).count == 4)
    try folder.write("data/b.jsonl", "{\"text\": \"one two\"}\n{\"tokens\": [5, 6, 8]}\n{\"text\": \"x\"}\n")
    #expect(try open(folder).fingerprint != fingerprint)
    try folder.write(
      "data/b.jsonl", "{\"text\": \"one tw\"}\n{\"tokens\": [111, 5, 6, 7]}\n{\"text\": \"x\"}\n")
    #expect(try open(folder).fingerprint != fingerprint)
  }

  @Test func whatWasInterruptedIsStartedAgain() throws {
    let folder = try sample()
    let fingerprint = try open(folder).fingerprint
    for limit in 0..<4 {
      var calls = 0
      #expect(throws: Stop.self) {
        try folder.corpus("data", "c.jsonl", name: "another \(limit)") { _, _ in
          calls += 1
          if calls > limit { throw Stop() }
        }
      }
      #expect(try !files(folder).contains { $0 == "manifest.json" || $0.hasSuffix(".tmp") })
    }
    #expect(try open(folder).fingerprint == fingerprint)
  }

  @Test func noFlippedBitIsTrainedOn() throws {
    let folder = try sample()
    let sound = try open(folder)
    let epochs = try [sound.epoch(source: 0), sound.epoch(source: 1)]
    let names = try files(folder)
    let originals = try names.map { try folder.bytes("spool/" + $0) }
    var random = SeededGenerator(6)
    var refused: [String: Int] = [:]
    let rounds = longTests ? 1_000 : 60
    for round in 0..<rounds {
      let index = round % names.count
      let name = names[index]
      var bytes = originals[index]
      bytes[Int.random(in: bytes.indices, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      try folder.write("spool/" + name, bytes)
      do {
        let corpus = try open(folder)
        #expect(name == "manifest.json")
        #expect(corpus.fingerprint == sound.fingerprint)
        #expect(try [corpus.epoch(source: 0), corpus.epoch(source: 1)] == epochs)
      } catch let error as DataError {
        #expect(error.code == .damaged && error.path?.hasPrefix(folder.path + "/spool/") == true, "\(error)")
        // A wrong figure in the manifest may show as a file that does not fit it.
        #expect(error.path?.hasSuffix("/" + name) == true || name == "manifest.json")
        refused[name, default: 0] += 1
      }
      for (name, bytes) in zip(names, originals) { try folder.write("spool/" + name, bytes) }
    }
    #expect(names.dropFirst().allSatisfy { refused[$0] == rounds / names.count })
    #expect(refused["manifest.json", default: 0] > rounds / 50)
  }

  @Test func shortenedAndMissingFilesAreDamage() throws {
    let folder = try sample()
    _ = try open(folder)
    for name in try files(folder) {
      let bytes = try folder.bytes("spool/" + name)
      try folder.write("spool/" + name, Array(bytes.dropLast(4)))
      let shortened = #expect(throws: DataError.self) { try open(folder) }
      #expect(shortened?.code == .damaged && shortened?.path == folder.path + "/spool/" + name)
      if name != "manifest.json" {
        try FileManager.default.removeItem(atPath: folder.path + "/spool/" + name)
        let missing = #expect(throws: DataError.self) { try open(folder) }
        #expect(missing?.code == .damaged && missing?.path == folder.path + "/spool/" + name)
      }
      try folder.write("spool/" + name, bytes)
    }
    #expect(try open(folder).summary.isReused)
  }

  @Test func aSpoolThatIsDamagedWhileItIsOpenIsNoted() throws {
    let folder = try sample()
    let corpus = try open(folder)
    let draw = Draw(source: 0, epoch: 0, index: 0)
    let tokens = try folder.bytes("spool/source-0.tokens")
    // In place: the file stays the one that is open.
    let handle = try #require(FileHandle(forWritingAtPath: folder.path + "/spool/source-0.tokens"))
    try handle.write(contentsOf: Data([0, 0, 0, 1]))
    #expect(#expect(throws: DataError.self) { try corpus.document(draw) }?.code == .damaged)
    try handle.truncate(atOffset: 8)
    #expect(#expect(throws: DataError.self) { try corpus.document(draw) }?.code == .damaged)
    #expect(tokens.count > 8)
  }

  @Test func aFileThatChangesWhileItIsReadIsNoted() throws {
    let folder = try Folder()
    let path = try folder.write("a.txt", String(repeating: "line\n", count: 600_000))
    let handle = try #require(FileHandle(forWritingAtPath: path))
    let error = #expect(throws: DataError.self) {
      try folder.corpus("a.txt") { _, _ in
        try handle.seekToEnd()
        try handle.write(contentsOf: Data("more".utf8))
      }
    }
    #expect(error?.code == .changed && error?.path == path)
  }

  @Test func drawsOfAnotherCorpusAreRefused() throws {
    let corpus = try open(sample())
    let pieces = corpus.summary.sources[0].training.pieces
    for (source, epoch, index) in [(2, 0, 0), (-1, 0, 0), (0, -1, 0), (0, 0, -1), (0, 0, pieces)] {
      let error = #expect(throws: DataError.self) {
        try corpus.document(Draw(source: source, epoch: epoch, index: index))
      }
      #expect(error?.code == .otherCorpus)
    }
  }
}
