import Foundation
import Testing
import ToolSupport

/// Several questions on one document, and texts that end at stop strings.
@Suite struct AskTests {
  private static let model = Program.root + "/data/kjv-tiny"
  private static let document = """
    And it came to pass in those days, that there went out a decree from Caesar Augustus, that all the world should be \
    taxed. And all went to be taxed, every one into his own city. And she brought forth her firstborn son, and wrapped him \
    in swaddling clothes, and laid him in a manger; because there was no room for them in the inn.

    """

  private func withSession(_ body: (PrivateDaemon) throws -> Void) throws {
    let daemon = try PrivateDaemon()
    defer { daemon.stop() }
    let path = FileManager.default.temporaryDirectory.path + "/lagoon-ask-\(UUID().uuidString)"
    try Data(Self.document.utf8).write(to: URL(filePath: path))
    defer { try? FileManager.default.removeItem(atPath: path) }
    let run = try Program.run(
      "lagoon-lm",
      [
        "ingest", Self.model, "--text", path, "--session", "a", "--sinks", "4", "--lag", "32", "--socket",
        daemon.socketPath,
      ])
    try #require(run.status == 0, "\(run.errors)")
    try body(daemon)
  }

  private func json(_ daemon: PrivateDaemon, _ arguments: [String]) throws -> [String: Any] {
    let run = try Program.run(
      "lagoon-lm",
      [arguments[0], Self.model, "--session", "a", "--json", "--socket", daemon.socketPath]
        + arguments.dropFirst())
    try #require(run.status == 0, "\(run.errors)")
    return try #require(JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
  }

  /// However many go together, and whatever the chunk, each question gets the answer that it gets alone.
  @Test func answersAreThoseOfEachQuestionAlone() throws {
    try withSession { daemon in
      let questions = [" And", "\nAnd the LORD said unto", " Joseph", " a", " In that day shall the"]
      for sampling in [["--max-tokens", "20"], ["--max-tokens", "20", "--temperature", "1", "--seed", "5"]] {
        let alone = try questions.map {
          try json(daemon, ["generate", "--prompt", $0] + sampling)["token_ids"] as? [Int]
        }
        for width in [["--parallel", "1"], ["--parallel", "3"], ["--parallel", "8", "--chunk", "5"]] {
          let result = try json(
            daemon, ["ask"] + questions.flatMap { ["--question", $0] } + sampling + width)
          let answers = try #require(result["answers"] as? [[String: Any]])
          #expect(answers.map { $0["question"] as? String } == questions)
          #expect(answers.map { $0["token_ids"] as? [Int] } == alone, "\(sampling) \(width)")
          #expect(result["session_tokens"] as? Int == Self.document.utf8.count)
        }
      }
    }
  }

  @Test func textEndsBeforeAStopString() throws {
    try withSession { daemon in
      let whole = try json(daemon, ["generate", "--prompt", " And", "--max-tokens", "60"])
      let text = try #require(whole["text"] as? String)
      #expect(whole["stopped"] as? String == "max_tokens")
      // Any piece of the text, which crosses bytes and so tokens, ends it where it first stands.
      let stop = String(text.dropFirst(11).prefix(4))
      let first = try #require(text.range(of: stop))
      let stopped = try json(
        daemon,
        ["generate", "--prompt", " And", "--max-tokens", "60", "--stop", "no such text", "--stop", stop])
      #expect(stopped["text"] as? String == String(text[..<first.lowerBound]))
      #expect(stopped["stopped"] as? String == "stop_string")
      let streamed = try Program.run(
        "lagoon-lm",
        [
          "generate", Self.model, "--session", "a", "--prompt", " And", "--max-tokens", "60", "--stop", stop,
          "--socket", daemon.socketPath,
        ])
      #expect(streamed.output == text[..<first.lowerBound] + "\n")
      #expect(streamed.errors.contains("tokens/s"))
    }
  }

  @Test func questionsComeFromAFileAndATemplate() throws {
    try withSession { daemon in
      let path = FileManager.default.temporaryDirectory.path + "/questions-\(UUID().uuidString)"
      try Data("And\n\n   \nJoseph\r\n".utf8).write(to: URL(filePath: path))
      defer { try? FileManager.default.removeItem(atPath: path) }
      let result = try json(
        daemon, ["ask", "--questions", path, "--template", " {question} said,", "--max-tokens", "8"])
      let answers = try #require(result["answers"] as? [[String: Any]])
      #expect(answers.map { $0["question"] as? String } == ["And", "Joseph"])
      let alone = try json(daemon, ["generate", "--prompt", " Joseph said,", "--max-tokens", "8"])
      #expect(answers.last?["text"] as? String == alone["text"] as? String)
      let plain = try Program.run(
        "lagoon-lm",
        [
          "ask", Self.model, "--session", "a", "--questions", path, "--max-tokens", "4", "--socket",
          daemon.socketPath,
        ])
      #expect(plain.status == 0 && plain.output.hasPrefix("> And\n"))
      for wrong in [[], ["--question", "a", "--template", "x"], ["--question", "a", "--parallel", "0"]] {
        let run = try Program.run("lagoon-lm", ["ask", Self.model, "--session", "a"] + wrong)
        #expect(run.status == 64)
      }
      let stop = try Program.run(
        "lagoon-lm", ["ask", Self.model, "--session", "a", "--question", "a", "--stop", ""])
      #expect(stop.status == 64 && stop.errors.contains("--stop"))
    }
  }
}
