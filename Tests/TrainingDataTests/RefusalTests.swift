import Foundation
import Testing
import TrainingData

@Suite struct RefusalTests {
  @Test func badLinesAreNamed() throws {
    let kinds = "expected {\"text\"}, {\"tokens\"} or {\"context\", \"question\", \"answer\"}"
    for (line, message) in [
      ("{\"text\": \"a\"}", "1 token: a document needs 2"),
      ("{\"text\": \"\"}", "0 tokens: a document needs 2"),
      ("{\"tokens\": [7]}", "1 token: a document needs 2"),
      ("{\"tokens\": [1, 256]}", "not a record: token 256 is outside of the vocabulary of 256 (byte 18)"),
      (
        "{\"tokens\": [1, 18446744073709551617]}",
        "not a record: an integer overflows 63 bits (byte 34)"
      ),
      ("{\"tokens\": [1, -2]}", "not a record: expected a non-negative integer (byte 15)"),
      ("{\"tokens\": [1, 2.5]}", "not a record: expected ']' or ',' (byte 16)"),
      ("{\"tokens\": \"1 2\"}", "not a record: \"tokens\" is not an array (byte 11)"),
      ("{\"text\": null}", "not a record: \"text\" is not a string (byte 9)"),
      ("{\"text\": \"ab\"", "not a record: expected '}' or ',' (byte 13)"),
      ("{\"text\": \"ab\", \"text\": \"cd\"}", "not a record: \"text\" stands twice (byte 14)"),
      ("{\"text\": \"ab\"} {}", "not a record: text after the value (byte 15)"),
      ("[\"ab\"]", "not a record: expected an object (byte 0)"),
      ("plain text", "not a record: expected a value (byte 0)"),
      ("{\"body\": \"ab\"}", "none of the fields of a record; \(kinds)"),
      (
        "{\"text\": \"ab\", \"tokens\": [1, 2]}",
        "the fields \"text\", \"tokens\" are no record; \(kinds)"
      ),
      (
        "{\"question\": \"ab\", \"answer\": \"cd\"}",
        "the fields \"answer\", \"question\" are no record; \(kinds)"
      ),
      (
        "{\"context\": \"ab\", \"question\": \"cd\", \"answer\": \"\"}",
        "the answer is empty: there is nothing to learn from"
      ),
      ("{\"context\": \"\", \"question\": \"\", \"answer\": \"x\"}", "1 token: a document needs 2"),
      ("{\"text\": \"abc\", \"ignored\": 1}", "not a record: \"ignored\" is not an array (byte 27)"),
      (
        "{\"text\": \"abc\", \"ignored\": [1, 2]}",
        "not a record: an ignored range is not [from, to] (byte 28)"
      ),
      (
        "{\"text\": \"abc\", \"ignored\": [[1]]}",
        "not a record: an ignored range is not [from, to] (byte 31)"
      ),
      (
        "{\"text\": \"abc\", \"ignored\": [[1, 2, 3]]}",
        "not a record: an ignored range is not [from, to] (byte 34)"
      ),
      (
        "{\"text\": \"abc\", \"ignored\": [[-1, 2]]}",
        "not a record: expected a non-negative integer (byte 29)"
      ),
      (
        "{\"text\": \"abc\", \"ignored\": [[2, 2]]}",
        "not a record: the ignored range [2, 2] is empty (byte 34)"
      ),
      (
        "{\"text\": \"abc\", \"ignored\": [[2, 3], [1, 2]]}",
        "not a record: the ignored range [1, 2] does not lie behind the one before it (byte 42)"
      ),
      (
        "{\"text\": \"abc\", \"ignored\": [[0, 2], [1, 3]]}",
        "not a record: the ignored range [1, 3] does not lie behind the one before it (byte 42)"
      ),
      (
        "{\"ignored\": [[1, 4]], \"text\": \"abc\"}",
        "the ignored range [1, 4] is outside of the text of 3 bytes"
      ),
      (
        "{\"text\": \"abc\", \"ignored\": [[1, 3]]}",
        "all tokens but the first are ignored: there is nothing to learn from"
      ),
      ("{\"tokens\": [1, 2], \"ignored\": []}", "\"ignored\" belongs to a {\"text\"} only"),
      (
        "{\"context\": \"a\", \"question\": \"b\", \"answer\": \"c\", \"ignored\": [[0, 1]]}",
        "\"ignored\" belongs to a {\"text\"} only"
      ),
    ] {
      let folder = try Folder()
      try folder.write("a.jsonl", "{\"text\": \"good\"}\n\n\(line)\n{\"text\": \"fine\"}\n")
      let failure = try folder.failure("a.jsonl")
      #expect(failure == "a.jsonl:3: \(message)")
      let corpus = try folder.corpus("a.jsonl", options: CorpusOptions(maximumTokens: 64, skipBad: true))
      #expect(try corpus.epoch().map(\.text) == ["good", "fine"])
      let source = corpus.summary.sources[0]
      #expect(source.skipped == 1 && source.documents == 2 && source.tokens == 8)
      let skipped = try #require(source.firstSkipped.first)
      #expect(skipped.path == folder.path + "/a.jsonl" && skipped.line == 3 && skipped.reason == message)
    }
  }

  @Test func recordsThatAreNotUTF8AreNamed() throws {
    let folder = try Folder()
    try folder.write(
      "a.jsonl", Array("{\"text\": \"good\"}\n{\"text\": \"b".utf8) + [0xE9] + Array("d\"}".utf8))
    #expect(try folder.failure("a.jsonl") == "a.jsonl:2: not a record: a string is not UTF-8 (byte 11)")
  }

  @Test func badTextsAreNamed() throws {
    let folder = try Folder()
    try folder.write("good.txt", "good")
    try folder.write("data/short.txt", "a")
    try folder.write(
      "data/latin.txt", Array("one\ntwo ".utf8) + [0xE9, 0x20] + Array(repeating: 0x61, count: 3_000_000))
    try folder.write("data/z.txt", "zz")
    #expect(try folder.failure("good.txt", "data") == "data/latin.txt:2: not UTF-8 (byte 0xe9)")
    try folder.write("data/empty.txt", "")
    let options = try CorpusOptions(maximumTokens: 64, skipBad: true)
    var reports: [[Int]] = []
    let corpus = try folder.corpus("good.txt", "data", options: options) { reports.append([$0, $1]) }
    #expect(try corpus.epoch(source: 1).map(\.text) == ["zz"])
    #expect(
      corpus.summary.sources[1].firstSkipped.map(\.reason) == [
        "0 tokens: a document needs 2", "not UTF-8 (byte 0xe9)", "1 token: a document needs 2",
      ])
    #expect(corpus.summary.sources[1].firstSkipped.map(\.line) == [nil, 2, nil])
    #expect(reports.last == [3_000_017, 3_000_017])
    try FileManager.default.removeItem(atPath: folder.path + "/data/latin.txt")
    #expect(try folder.failure("data") == "data/empty.txt: 0 tokens: a document needs 2")
  }

  @Test func aTextThatIsBadFarInLeavesNothingBehind() throws {
    let folder = try Folder()
    let long = (0..<400_000).flatMap { Array("word \($0)\n".utf8) }
    try folder.write("data/a.txt", "before")
    try folder.write("data/b.txt", long + [0xFF])
    try folder.write("data/c.txt", "after")
    let options = try CorpusOptions(maximumTokens: 64, skipBad: true)
    let corpus = try folder.corpus("data", options: options)
    #expect(try corpus.epoch().map(\.text) == ["before", "after"])
    #expect(corpus.summary.sources[0].firstSkipped.map(\.line) == [400_001])
    #expect(try folder.bytes("spool/source-0.tokens").count == 4 * 11)
    // What is read back has been rolled back too.
    #expect(try folder.corpus("data", options: options).summary.isReused)
  }

  @Test func questionsAreNotCut() throws {
    let folder = try Folder()
    let question = "{\"context\": \"0123456789\", \"question\": \"?\", \"answer\": \"ab\"}"
    try folder.write("a.jsonl", "{\"text\": \"good\"}\n\(question)\n")
    #expect(
      try folder.failure("a.jsonl", options: CorpusOptions(maximumTokens: 12))
        == "a.jsonl:2: 13 tokens, longer than --length 12; a question is not cut")
    #expect(try folder.corpus("a.jsonl", options: CorpusOptions(maximumTokens: 13)).epoch().count == 2)
    // The spool is there now; its reader refuses as its writer did.
    #expect(
      try folder.failure("a.jsonl", options: CorpusOptions(maximumTokens: 12))
        == "a.jsonl:2: 13 tokens, longer than --length 12; a question is not cut")
    let skipping = try folder.corpus("a.jsonl", options: CorpusOptions(maximumTokens: 12, skipBad: true))
    #expect(try skipping.epoch().map(\.text) == ["good"])
    #expect(skipping.summary.sources[0].skipped == 1)
    let everything = try folder.corpus("a.jsonl", options: CorpusOptions(maximumTokens: 12, lossOn: .all))
    #expect(try everything.epoch().map(\.text) == ["good", "01234567890"[...].dropLast() + "?", "ab"])
  }

  @Test func answersOnlyMeansQuestionsOnly() throws {
    let folder = try Folder()
    try folder.write("a.txt", "text")
    try folder.write(
      "b.jsonl", "{\"context\": \"c\", \"question\": \"q\", \"answer\": \"a\"}\n{\"tokens\": [1, 2]}")
    try folder.write("c.jsonl", "{\"text\": \"text\"}")
    let options = try CorpusOptions(maximumTokens: 64, lossOn: .answer)
    let message = "no answer to predict, and the loss is asked for on answers only"
    #expect(try folder.failure("a.txt", options: options) == "a.txt: \(message)")
    #expect(try folder.failure("b.jsonl", options: options) == "b.jsonl:2: \(message)")
    #expect(try folder.failure("c.jsonl", options: options) == "c.jsonl:1: \(message)")
  }

  @Test func longLinesAreBoundedAndGoneOver() throws {
    let folder = try Folder()
    let long = String(repeating: "x", count: 2_500_000)
    let path = try folder.write("a.jsonl", "0123456789\n\n0123456789a\nok\n\(long)\nlast")
    let file = try #require(SourceFiles(path: path).files.first)
    var lines = LineReader(try BlockReader(file), maximum: 10)
    var found: [String] = []
    var line: [UInt8] = []
    while let kind = try lines.next(into: &line) {
      found.append("\(lines.number) " + (kind == .whole ? String(decoding: line, as: UTF8.self) : "long"))
    }
    #expect(found == ["1 0123456789", "2 ", "3 long", "4 ok", "5 long", "6 last"])
    var unbounded = LineReader(try BlockReader(file))
    for _ in 0..<5 { _ = try unbounded.next(into: &line) }
    #expect(line == Array(long.utf8))
  }

  @Test func sourcesThatAreNoneAreNamed() throws {
    let folder = try Folder()
    try folder.write("none/readme.md", "text")
    try folder.write("empty.jsonl", "\n\n")
    #expect(try folder.failure("nowhere.txt") == "nowhere.txt: no such file or folder")
    #expect(try folder.failure("none/readme.md/x.txt") == "none/readme.md/x.txt: no such file or folder")
    #expect(try folder.failure("none") == "none: a folder without any .txt or .jsonl file, of 1 others")
    #expect(
      try folder.failure("none/readme.md")
        == "none/readme.md: the name must end in .txt (text) or .jsonl (a record a line)")
    #expect(try folder.failure("empty.jsonl") == "empty.jsonl: no text to train on")
    #expect(mkfifo(folder.path + "/pipe.txt", 0o600) == 0)
    #expect(
      try folder.failure("pipe.txt")
        == "pipe.txt: neither a file nor a folder; save what a pipe gives first")
    try FileManager.default.createSymbolicLink(
      atPath: folder.path + "/loop.txt", withDestinationPath: folder.path + "/loop.txt")
    #expect(try folder.failure("loop.txt")?.hasPrefix("loop.txt: cannot be looked at: ") == true)
  }

  @Test(.enabled(if: geteuid() != 0, "root may read everything"))
  func unreadableFoldersAndFilesAreNamed() throws {
    let folder = try Folder()
    try folder.write("closed/a.txt", "text")
    try folder.write("a.txt", "text")
    #expect(chmod(folder.path + "/closed", 0) == 0 && chmod(folder.path + "/a.txt", 0) == 0)
    defer { chmod(folder.path + "/closed", 0o700) }
    #expect(try folder.failure("closed")?.hasPrefix("closed: cannot be listed: ") == true)
    #expect(try folder.failure("a.txt")?.hasPrefix("a.txt: cannot be opened: ") == true)
  }

  @Test func argumentsAndOptions() throws {
    #expect(try DataSource(argument: "a/b.txt") == DataSource(path: "a/b.txt"))
    #expect(try DataSource(argument: "a=b.txt=0.25") == DataSource(path: "a=b.txt", weight: 0.25))
    #expect(try DataSource(argument: "a=b.txt") == DataSource(path: "a=b.txt"))
    for wrong in ["", "=2", "a.txt=0", "a.txt=-1", "a.txt=nan", "a.txt=inf"] {
      #expect(throws: DataError.self, "\(wrong)") { try DataSource(argument: wrong) }
    }
    for (length, share, vocabulary) in [
      (3, 0.0, 5), (64, 1.0, 5), (64, -0.1, 5), (64, .nan, 5), (64, 0.1, 0), (64, 0.1, 1 << 31 + 1),
    ] {
      let error = #expect(throws: DataError.self) {
        try CorpusOptions(maximumTokens: length, vocabularySize: vocabulary, holdOut: share)
      }
      #expect(error?.code == .invalidArgument)
    }
  }

  @Test func idsAreThoseOfTheModel() throws {
    let folder = try Folder()
    try folder.write("a.jsonl", "{\"tokens\": [300, 301]}")
    let larger = try CorpusOptions(maximumTokens: 64, vocabularySize: 302)
    #expect(try folder.corpus("a.jsonl", options: larger).epoch().map(\.tokens) == [[300, 301]])
    try folder.write("b.txt", "text")
    #expect(
      try folder.failure("b.txt", options: CorpusOptions(maximumTokens: 64, vocabularySize: 110))
        == "b.txt: token 116 is outside of the vocabulary of 110")
  }
}
