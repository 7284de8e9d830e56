import Foundation
import RunRecord
import Testing

/// Files that no trainer wrote.
@Suite struct HostileMetricsTests {
  private static let good = """
    {"kind":"step","step":7,"tokens":1,"documents":1,"loss":1,"targets":1,"learning_rate":1,"gradient_norm":1,"seconds":1,\
    "tokens_per_second":1}
    """

  private func read(_ text: String) throws -> RunHistory {
    try withFolder { folder in
      try Data(text.utf8).write(to: URL(filePath: folder + "/metrics.jsonl"))
      return try RunHistory(folder: folder)
    }
  }

  @Test func theGoodLineIsGood() throws {
    #expect(try read(Self.good + "\n").steps.map(\.step) == [7])
    // Members of later versions.
    let later = Self.good.replacingOccurrences(of: "{", with: "{\"later\":{\"a\":[1,null]},")
    #expect(try read(later + "\n").steps.map(\.step) == [7])
  }

  typealias BadLine = (line: String, message: String)

  /// The good line with one part exchanged.
  private static func changed(_ part: String, _ other: String, _ message: String) -> BadLine {
    (good.replacingOccurrences(of: part, with: other), message)
  }

  static let badLines: [BadLine] = [
    ("", "not a JSON object"),
    ("[]", "not a JSON object"),
    ("7", "not a JSON object"),
    (good + good, "text after the value"),
    changed("\"loss\":1,", "", "loss is missing"),
    changed("\"loss\":1,", "\"loss\":\"1\",", "loss is \"1\""),
    changed("\"loss\":1,", "\"loss\":1e999,", "out of range"),
    changed("\"loss\":1,", "\"loss\":NaN,", "expected a value"),
    changed("\"loss\":1,", "\"loss\":1,\"loss\":2,", "stands twice"),
    changed("\"step\":7", "\"step\":-7", "step is -7"),
    changed("\"step\":7", "\"step\":7.5", "step is 7.5"),
    changed("\"step\":7", "\"step\":99999999999999999999", "step is 1e+20"),
    changed("\"kind\":\"step\"", "\"kind\":\"stop\"", "kind is \"stop\""),
    changed("\"kind\":\"step\",", "", "kind is missing"),
    changed("{", "{\"not_finite\":3,", "not_finite is 3"),
    changed("\"loss\":1,", "\"loss\":null,\"not_finite\":{\"loss\":\"x\"},", "not_finite.loss"),
    ("{\"kind\":\"evaluation\",\"step\":1,\"loss\":1,\"documents\":1,\"is_best\":1}", "is_best is 1"),
    ("{\"kind\":\"event\",\"step\":1,\"what\":\"spike\"}", "detail is missing"),
  ]

  @Test(arguments: badLines)
  func badLinesAreReportedWithTheirNumbers(_ line: String, _ message: String) throws {
    try check(line, message)
    // Without its end the same line is one that its writer did not finish.
    if !line.isEmpty { #expect(try read(Self.good + "\n" + line).tornLine == 2) }
  }

  /// Not arguments, because the test's report would print them.
  @Test func longLinesAreReportedWithTheirNumbers() throws {
    try check(String(repeating: "[", count: 100_000), "nested deeper")
    try check("{\"kind\":\"\(String(repeating: "x", count: 2 << 20))\"}", "longer than")
    try check(String(repeating: "\0", count: 4096), "expected a value")
  }

  private func check(_ line: String, _ message: String) throws {
    let error = #expect(throws: RunRecordError.self) { try read(Self.good + "\n" + line + "\n") }
    #expect(error?.code == .malformed)
    #expect(error?.line == 2)
    #expect(error?.message.contains(message) == true, "\(String(describing: error))")
    #expect(error?.description.contains("metrics.jsonl:2: ") == true)
  }

  @Test func bytesThatAreNoTextAreRefused() throws {
    try withFolder { folder in
      let path = folder + "/metrics.jsonl"
      try (Data("{\"kind\":\"".utf8) + [0xff, 0xfe] + Data("\"}\n".utf8)).write(to: URL(filePath: path))
      let error = #expect(throws: RunRecordError.self) { try RunHistory(folder: folder) }
      #expect(error?.line == 1)
    }
  }

  @Test func aStepThatComesTwiceIsRefused() throws {
    let error = #expect(throws: RunRecordError.self) { try read(Self.good + "\n" + Self.good + "\n") }
    #expect(error?.line == 2)
    #expect(error?.message.contains("step 7 comes after step 7") == true)
  }

  @Test func aFolderWithoutRecordIsNamed() throws {
    let error = #expect(throws: RunRecordError.self) { try RunHistory(folder: "/nowhere/run") }
    #expect(error?.code == .io)
    #expect(error?.path == "/nowhere/run/metrics.jsonl")
  }

  /// Lines that end at, before and behind the edges of what is read at once.
  @Test func linesOfEveryLengthAreRead() throws {
    for length in [65_000, 65_535, 65_536, 65_537, 200_000] {
      let lines = (1...3).map { index in
        "{\"kind\":\"event\",\"step\":\(index),\"what\":\"x\",\"detail\":\"\(String(repeating: "d", count: length - index))\"}\n"
      }
      let details = try read(lines.joined()).events.map(\.detail.utf8.count)
      #expect(details == [length - 1, length - 2, length - 3])
    }
  }
}
