import Foundation
import Testing
import TrainingData

@Suite struct CorpusTests {
  @Test func aShortTextIsOneDocument() throws {
    let folder = try Folder()
    try folder.write("a.txt", "hello")
    let corpus = try folder.corpus("a.txt")
    let documents = try corpus.epoch()
    #expect(documents.map(\.text) == ["hello"])
    #expect(documents[0].targets == [101, 108, 108, 111, nil])
    #expect(documents[0].bytes == 4)
    #expect(documents[0].origin == folder.path + "/a.txt")
    #expect(corpus.heldOutCount == 0)
  }

  @Test func recordsOfAllKinds() throws {
    let folder = try Folder()
    try folder.write(
      "a.jsonl",
      """
      {"text": "ab\\u00e9", "id": [1, {"x": null}]}

      {"tokens": [3, 2, 1]}\r
      {"context": "c ", "question": "q?", "answer": " ok"}
      """)
    let documents = try folder.corpus("a.jsonl").epoch()
    #expect(documents.map(\.text) == ["abé", "\u{3}\u{2}\u{1}", "c q? ok"])
    #expect(documents.map(\.targetText) == ["bé", "\u{2}\u{1}", " ok"])
    #expect(documents.map(\.bytes) == [3, 0, 3])
    #expect(documents[2].targets.prefix(3) == [nil, nil, nil] && documents[2].targets[3] == 0x20)
    #expect(documents.map(\.origin) == [1, 3, 4].map { "\(folder.path)/a.jsonl:\($0)" })
  }

  @Test func foldersAreReadInOrderAndOtherFilesCounted() throws {
    let folder = try Folder()
    try folder.write("data/b.txt", "bb")
    try folder.write("data/a/z.jsonl", "{\"text\": \"zz\"}\n")
    try folder.write("data/a/y.TXT", "yy")
    try folder.write("data/a/readme.md", "no")
    try folder.write("data/.hidden.txt", "no")
    try FileManager.default.createSymbolicLink(
      atPath: folder.path + "/data/loop", withDestinationPath: folder.path + "/data")
    try FileManager.default.createSymbolicLink(
      atPath: folder.path + "/data/c.txt", withDestinationPath: folder.path + "/data/b.txt")
    let corpus = try folder.corpus("data")
    #expect(try corpus.epoch().map(\.text) == ["yy", "zz", "bb", "bb"])
    #expect(corpus.summary.sources[0].files == 4)
    #expect(corpus.summary.sources[0].ignoredFiles == 3)
  }
}
