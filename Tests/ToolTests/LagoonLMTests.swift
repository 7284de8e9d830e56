import Foundation
import Safetensors
import Testing
import ToolSupport

/// `lagoon-lm` on the repository's model, through a real daemon.
@Suite struct LagoonLMTests {
  private static let model = Program.root + "/data/kjv-tiny"
  private static let text = """
    In the beginning God created the heaven and the earth. And the earth was without form, and void; and darkness was \
    upon the face of the deep. And the Spirit of God moved upon the face of the waters. And God said, Let there be light: \
    and there was light. And God saw the light, that it was good: and God divided the light from the darkness.
    """

  private func withFolder(_ body: (String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.path + "/lm-\(UInt32.random(in: 0...UInt32.max))"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(folder)
  }

  private func write(_ text: some StringProtocol, _ path: String) throws -> String {
    try Data(text.utf8).write(to: URL(filePath: path))
    return path
  }

  /// The JSON object that a run prints.
  private func json(_ arguments: [String]) throws -> [String: Any] {
    let run = try Program.run("lagoon-lm", arguments)
    try #require(run.status == 0, "\(run.errors)")
    return try #require(JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
  }

  /// Figures of a masked full pass in f64 over 1,500 bytes of the held-out text, at byte 3,931,000.
  struct ReferenceRow: Sendable {
    var policy: String
    var sinks: Int
    var lag: Int
    var ratio: Double
    var meanNLL: Double
    var kept: Int
    var tolerance: Double
  }

  static let referenceRows: [ReferenceRow] = [
    .init(policy: "full", sinks: 16, lag: 64, ratio: 1, meanNLL: 1.1356001921, kept: 1500, tolerance: 1e-4),
    .init(policy: "lagkv", sinks: 16, lag: 64, ratio: 0.5, meanNLL: 1.1337566045, kept: 796, tolerance: 1e-3),
    .init(
      policy: "lagkv", sinks: 16, lag: 64, ratio: 0.25, meanNLL: 1.1339675103, kept: 444, tolerance: 1e-3),
    .init(
      policy: "lagkv", sinks: 16, lag: 64, ratio: 0.125, meanNLL: 1.1340186658, kept: 268, tolerance: 1e-3),
    .init(
      policy: "lagkv", sinks: 4, lag: 128, ratio: 0.25, meanNLL: 1.1352120345, kept: 540, tolerance: 1e-3),
    .init(
      policy: "streaming", sinks: 16, lag: 64, ratio: 0, meanNLL: 1.1353309241, kept: 92, tolerance: 1e-3),
    .init(
      policy: "l2norm", sinks: 16, lag: 64, ratio: 0.25, meanNLL: 1.1348296959, kept: 444, tolerance: 1e-3),
  ]

  @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/bible"), "needs bible-kjv"))
  func perplexityIsTheReferences() throws {
    try withFolder { folder in
      let path = folder + "/text"
      let shell = Process()
      shell.executableURL = URL(filePath: "/bin/sh")
      shell.arguments = [
        "-c",
        "bible -f 'gen1:1-rev22:21' | sed -E 's/^[^ ]+ //' | tail -c +3931001 | head -c 1500 > '\(path)'",
      ]
      try shell.run()
      shell.waitUntilExit()
      for row in Self.referenceRows {
        let result = try json([
          "perplexity", Self.model, "--text", path, "--policy", row.policy, "--sinks", "\(row.sinks)",
          "--lag",
          "\(row.lag)", "--ratio", "\(row.ratio)", "--json",
        ])
        let loss = try #require(result["mean_nll"] as? Double)
        #expect(abs(loss - row.meanNLL) < row.tolerance, "\(row.policy) \(row.ratio): \(loss)")
        #expect(abs((result["bits_per_byte"] as? Double ?? 0) - loss / log(2)) < 1e-9)
        #expect(result["kept"] as? Int == row.kept)
        #expect(result["tokens"] as? Int == 1500)
      }
    }
  }

  /// A document in two runs, and the same in one with other chunks, answer alike; asking changes nothing; other texts,
  /// models and settings are refused.
  @Test func ingestResumesAndGenerateLeavesNoTrace() throws {
    try withFolder { folder in
      let whole = try write(Self.text, folder + "/whole")
      let half = try write(Self.text.prefix(150), folder + "/half")
      let store = ["--store", folder + "/store"]
      func ingest(_ path: String, _ session: String, _ more: [String] = []) throws -> [String: Any] {
        try json(["ingest", Self.model, "--text", path, "--session", session, "--json"] + more + store)
      }
      let settings = ["--sinks", "4", "--lag", "16", "--ratio", "0.25"]
      #expect(try ingest(half, "a", settings)["resumed_at"] as? Int == 0)
      let resumed = try ingest(whole, "a")
      #expect(resumed["resumed_at"] as? Int == 150)
      #expect(resumed["tokens"] as? Int == Self.text.utf8.count)
      let again = try ingest(whole, "a")
      #expect(again["resumed_at"] as? Int == Self.text.utf8.count)
      #expect(again["stored_bytes"] as? Int == resumed["stored_bytes"] as? Int)
      let single = try ingest(whole, "b", settings + ["--chunk", "31"])
      #expect(single["kept"] as? Int == resumed["kept"] as? Int)

      func generate(_ session: String, _ more: [String] = []) throws -> [Int]? {
        let result = try json(
          ["generate", Self.model, "--session", session, "--prompt", " And", "--max-tokens", "24", "--json"]
            + more + store)
        #expect(result["session_tokens"] as? Int == Self.text.utf8.count)
        return result["token_ids"] as? [Int]
      }
      let answer = try generate("a")
      #expect(answer?.count == 24)
      #expect(try generate("a") == answer)
      #expect(try generate("b") == answer)
      let draw = ["--temperature", "1", "--seed", "3"]
      #expect(try generate("a", draw) == generate("a", draw))
      #expect(try generate("a", draw) != answer)

      func refusal(_ arguments: [String]) throws -> String {
        let run = try Program.run("lagoon-lm", arguments + store)
        #expect(run.status == 1)
        #expect(run.output.isEmpty)
        return run.errors
      }
      let other = try write("X" + Self.text.dropFirst(), folder + "/other")
      #expect(try refusal(["ingest", Self.model, "--text", other, "--session", "a"]).contains("otherText"))
      #expect(try refusal(["ingest", Self.model, "--text", half, "--session", "a"]).contains("otherText"))
      #expect(
        try refusal(["ingest", Self.model, "--text", whole, "--session", "a", "--ratio", "0.5"]).contains(
          "--ratio"))
      #expect(
        try refusal(["ingest", Self.model, "--text", whole, "--session", "a", "--archive"]).contains(
          "made without --archive"))
      #expect(try ingest(whole, "archived", settings + ["--archive"])["resumed_at"] as? Int == 0)
      #expect(try ingest(whole, "archived", ["--archive"])["resumed_at"] as? Int == Self.text.utf8.count)
      #expect(try refusal(["generate", Self.model, "--session", "none"]).contains("'none'"))
      let twin = folder + "/twin"
      try FileManager.default.copyItem(atPath: Self.model, toPath: twin)
      var weights = try Data(contentsOf: URL(filePath: twin + "/model.safetensors"))
      weights[weights.count - 1000] ^= 1
      try weights.write(to: URL(filePath: twin + "/model.safetensors"))
      #expect(try refusal(["ingest", twin, "--text", whole, "--session", "a"]).contains("otherModel"))
      #expect(try refusal(["generate", twin, "--session", "a"]).contains("otherModel"))
    }
  }

  @Test func logitsDoNotDependOnTheChunk() throws {
    try withFolder { folder in
      let ids = folder + "/ids.json"
      let text = try write(Self.text.prefix(60), folder + "/text")
      let tokenized = try Program.run("lagoon-lm", ["tokenize", Self.model, "--text", text])
      let expected = Self.text.prefix(60).utf8.map(Int.init)
      #expect(try JSONDecoder().decode([Int].self, from: Data(tokenized.output.utf8)) == expected)
      _ = try write(tokenized.output, ids)
      var rows: [[Float]] = []
      for chunk in ["60", "7"] {
        let path = "\(folder)/logits-\(chunk).safetensors"
        let run = try Program.run(
          "lagoon-lm", ["logits", Self.model, "--tokens", ids, "-o", path, "--chunk", chunk])
        #expect(run.status == 0, "\(run.errors)")
        let file = try SafetensorsFile(path: path)
        #expect(try file.tensor("logits").shape == [60, 256])
        rows.append(try file.floats("logits"))
      }
      #expect(zip(rows[0], rows[1]).allSatisfy { abs($0 - $1) < 2e-5 })
    }
  }

  /// Ctrl-C in the middle of a measurement on somebody's daemon: the session that it made is gone.
  @Test func anInterruptedMeasurementDeletesItsSession() throws {
    try withFolder { folder in
      let text = try write(String(repeating: Self.text, count: 400), folder + "/text")
      let daemon = try PrivateDaemon()
      defer { daemon.stop() }
      func sessions() throws -> [Any] {
        let run = try Program.run("lagoon", ["list", "--json", "--socket", daemon.socketPath])
        return try #require(JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [Any])
      }
      let process = try Program.prepare(
        "lagoon-lm",
        ["perplexity", Self.model, "--text", text, "--policy", "full", "--socket", daemon.socketPath])
      process.standardOutput = FileHandle.nullDevice
      process.standardError = FileHandle.nullDevice
      try process.run()
      let deadline = ContinuousClock.now + .seconds(60)
      while try sessions().isEmpty, process.isRunning, ContinuousClock.now < deadline { usleep(20_000) }
      #expect(try sessions().count == 1)
      #expect(process.isRunning)
      kill(process.processIdentifier, SIGINT)
      process.waitUntilExit()
      #expect(process.terminationStatus == 128 + SIGINT)
      #expect(try sessions().isEmpty)
    }
  }

  /// With a daemon of its own to clean up after, and without.
  @Test func aReaderThatGoesEndsTheToolSilently() throws {
    try withFolder { folder in
      let text = try write(Self.text, folder + "/text")
      let daemon = try PrivateDaemon()
      defer { daemon.stop() }
      for place in [["--store", folder + "/store"], ["--socket", daemon.socketPath]] {
        _ = try json(["ingest", Self.model, "--text", text, "--session", "a", "--json"] + place)
        let run = try Program.run(
          "lagoon-lm", ["generate", Self.model, "--session", "a"] + place,
          shell: "{ \"$@\"; echo \"status $?\" >&2; } | true")
        #expect(run.errors == "status \(128 + SIGPIPE)\n")
      }
    }
  }

  /// Notes are for people; when they cannot be written the work goes on.
  @Test func notesThatCannotBeWrittenAreLost() throws {
    try withFolder { folder in
      let text = try write(Self.text, folder + "/text")
      let run = try Program.run(
        "lagoon-lm", ["ingest", Self.model, "--text", text, "--session", "a"],
        shell: "exec \"$@\" 2>/dev/full")
      #expect(run.status == 0 && run.output.contains("tokens ingested"))
    }
  }

  /// A text that is no file: what a shell puts in the place of `<(command)`, a folder, nothing.
  @Test func textsComeFromWhateverCanBeRead() throws {
    try withFolder { folder in
      func tokenize(_ path: String, shell: String? = nil) throws -> Program {
        try Program.run("lagoon-lm", ["tokenize", Self.model, "--text", path], shell: shell)
      }
      try #require(mkfifo(folder + "/fifo", 0o600) == 0)
      // More than a pipe holds.
      let text = try write(String(repeating: "a", count: 200_000), folder + "/text")
      let expected = try tokenize(text)
      #expect(expected.status == 0 && expected.output.count > 400_000)
      let piped = try tokenize(folder + "/fifo", shell: "cat '\(text)' > '\(folder)/fifo' & exec \"$@\"")
      #expect(piped.status == 0 && piped.output == expected.output, "\(piped.errors)")
      #expect(try tokenize(folder).errors.contains("cannot read \(folder): Is a directory"))
      #expect(try tokenize("/nowhere").errors.contains("cannot read /nowhere: No such file or directory"))
      for command in ["perplexity", "ingest"] {
        let name = command == "ingest" ? ["--session", "a"] : []
        let empty = try Program.run("lagoon-lm", [command, Self.model, "--text", "/dev/null"] + name)
        #expect(empty.status == 1 && empty.errors.contains("/dev/null is empty"), "\(empty.errors)")
      }
    }
  }

  @Test func mistakesAreSaidPlainly() throws {
    let model = try Program.run("lagoon-lm", ["perplexity", "/nowhere", "--text", "-"])
    #expect(model.status == 1 && model.errors.contains("/nowhere/config.json"))
    let text = try Program.run("lagoon-lm", ["perplexity", Self.model, "--text", "/nowhere"])
    #expect(text.status == 1 && text.errors.contains("/nowhere"))
    let empty = try Program.run("lagoon-lm", ["perplexity", Self.model, "--text", "-"])
    #expect(empty.status == 1 && empty.errors.contains("standard input is empty"))
    let socket = try Program.run(
      "lagoon-lm", ["generate", Self.model, "--session", "a", "--socket", "/nowhere.sock"])
    #expect(socket.status == 1 && socket.errors.contains("/nowhere.sock"))
    for (option, value) in [
      ("--lag", "-1"), ("--lag", "99999999999"), ("--sinks", "-1"), ("--sinks", "99999999999"),
      ("--ratio", "2"),
      ("--value-weight", "nan"), ("--exempt-layers", "-1"), ("--exempt-layers", "0,99999999999999999999"),
    ] {
      let run = try Program.run(
        "lagoon-lm", ["ingest", Self.model, "--text", "-", "--session", "a", "\(option)=\(value)"])
      #expect(run.status == 64 && run.errors.contains(option), "\(run.errors)")
    }
    // Which layers there are is known when the model is.
    for layer in ["4", "99999999999"] {
      let run = try Program.run(
        "lagoon-lm",
        ["perplexity", Self.model, "--text", Self.model + "/README.md", "--exempt-layers", layer])
      #expect(run.status == 1 && run.errors.contains("--exempt-layers: there is no layer \(layer);"))
    }
    for wrong in [["--max-tokens", "0"], ["--chunk", "0"], ["--prompt", ""], ["--compute", "f64"]] {
      #expect(try Program.run("lagoon-lm", ["generate", Self.model, "--session", "a"] + wrong).status == 64)
    }
    #expect(
      try Program.run("lagoon-lm", ["generate", Self.model, "--session", "a", "--top-p", "2"]).errors
        .contains("top-p"))
  }
}
