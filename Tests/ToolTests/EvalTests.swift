import Foundation
import LagoonClient
import Testing
import ToolSupport

/// `lagoon-train plant` and `eval` through a real daemon, checked against what `lagoon-lm` says of the same texts.
@Suite struct EvalTests {
  private static let model = Program.root + "/data/kjv-tiny"
  private static let retention = ["--sinks", "4", "--lag", "32", "--dtype", "f32"]

  private struct Planted: Decodable {
    struct Number: Decodable {
      var number: String
      var stated: Int
      var asked: Int?
    }
    var text: String
    var planted: [Number]
  }

  /// Words in seeded order, as long as asked for.
  private func prose(_ bytes: Int) -> String {
    let words =
      "and the LORD said unto Moses go up into mountain of my people behold Israel shall not eat bread with him that came "
      + "out from land which I will give thee for ever"
    let list = words.split(separator: " ")
    var (state, text) = (UInt64(7), "")
    while text.utf8.count < bytes {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      text += list[Int(state >> 33) % list.count] + (state >> 60 == 0 ? ".\n" : " ")
    }
    return text
  }

  /// A folder with planted documents in it, and the daemon that the test's programs share.
  private func withDocuments(
    _ options: [String], _ body: (PrivateDaemon, String, [Planted]) throws -> Void
  ) throws {
    let folder = FileManager.default.temporaryDirectory.path + "/lagoon-eval-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try prose(20_000).write(toFile: folder + "/text", atomically: true, encoding: .utf8)
    // Somebody's file beside the output.
    let other = folder + "/test.jsonl.part"
    try "mine".write(toFile: other, atomically: true, encoding: .utf8)
    let run = try Program.run(
      "lagoon-train",
      ["plant", "--text", folder + "/text", "--length", "500", "--digits", "7", "-o", folder + "/test.jsonl"]
        + options)
    try #require(run.status == 0, "\(run.errors)")
    #expect(try String(contentsOfFile: other, encoding: .utf8) == "mine")
    let lines = try String(contentsOfFile: folder + "/test.jsonl", encoding: .utf8).split(separator: "\n")
    let documents = try lines.map { try JSONDecoder().decode(Planted.self, from: Data($0.utf8)) }
    let daemon = try PrivateDaemon()
    defer { daemon.stop() }
    try body(daemon, folder, documents)
  }

  private func json(_ tool: String, _ arguments: [String]) throws -> [String: Any] {
    let run = try Program.run(tool, arguments + ["--json"])
    try #require(run.status == 0, "\(run.errors)")
    return try #require(JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
  }

  /// The summed loss of a text but its first byte.
  private func loss(_ text: String, _ policy: [String], _ daemon: PrivateDaemon, _ folder: String) throws
    -> Double
  {
    let path = folder + "/\(UUID().uuidString)"
    try text.write(toFile: path, atomically: true, encoding: .utf8)
    let result = try json(
      "lagoon-lm",
      ["perplexity", Self.model, "--text", path, "--socket", daemon.socketPath] + Self.retention + policy)
    let mean = try #require(result["mean_nll"] as? Double)
    return mean * Double(text.utf8.count - 1)
  }

  /// Each answer is what `generate` says behind the text before the question, its likelihood the difference of two texts', and
  /// what is kept is what the session says: with the questions in the text, and behind it.
  @Test(arguments: ["inline", "end"]) func agreesWithGenerateAndPerplexity(_ place: String) throws {
    try withDocuments(["--numbers", "2", "--gap", "64", "--documents", "2", "--ask", place]) {
      daemon, folder, documents in
      let policy = ["--policy", "lagkv", "--ratio", "0.25"]
      let report = try json(
        "lagoon-train",
        [
          "eval", Self.model, "--task", "numbers", "--from", folder + "/test.jsonl", "--details", "--socket",
          daemon.socketPath, "--keep", "lagkv:0.25", "--keep", "full",
        ] + Self.retention)
      let results = try #require(report["results"] as? [[String: Any]])
      try #require(results.count == 2)
      let outcomes = try #require(results[0]["outcomes"] as? [[String: Any]])
      try #require(outcomes.count == 4)
      var (right, losses) = (0, 0.0)
      var evidence = [0, 0, 0, 0]
      let link = try LagoonConnection(socketPath: daemon.socketPath)
      for outcome in outcomes {
        let index = try #require(outcome["document"] as? Int)
        let document = documents[index]
        let expected = try #require((outcome["expected"] as? [String])?.first)
        let number = try #require(document.planted.first { $0.number.hasSuffix(expected) })
        #expect((number.asked == nil) == (place == "end"))
        let before = String(decoding: Array(document.text.utf8)[..<(number.asked ?? 500)], as: UTF8.self)
        let prompt = " [" + number.number.prefix(3)
        let name = UUID().uuidString
        let path = folder + "/" + name
        try before.write(toFile: path, atomically: true, encoding: .utf8)
        let ingest = try Program.run(
          "lagoon-lm",
          ["ingest", Self.model, "--text", path, "--session", name, "--socket", daemon.socketPath]
            + Self.retention + policy)
        try #require(ingest.status == 0, "\(ingest.errors)")
        let session = try link.openSession(name)
        for layer in 0..<4 {
          // The four digits that are the answer, where they are stated: of both heads, what is still there.
          let kept = try session.fetch(layer: layer, positionsOnly: true).positions
          evidence[layer] += kept.count { (number.stated + 5..<number.stated + 9).contains(Int($0)) }
        }
        let answer = try json(
          "lagoon-lm",
          [
            "generate", Self.model, "--session", name, "--prompt", prompt, "--max-tokens", "4", "--stop", "]",
            "--socket", daemon.socketPath,
          ])
        #expect(answer["text"] as? String == outcome["answer"] as? String)
        if answer["text"] as? String == expected { right += 1 }
        let whole = try loss(before + prompt + expected, policy, daemon, folder)
        let part = try loss(before + prompt, policy, daemon, folder)
        let found = try #require(outcome["answer_nll"] as? Double)
        #expect(abs(found - (whole - part)) < 1e-3, "\(found) \(whole - part)")
        losses += found
      }
      #expect(results[0]["right"] as? Int == right && results[0]["asked"] as? Int == 4)
      #expect(abs((results[0]["answer_nll"] as? Double ?? 0) - losses / 16) < 1e-9)
      // S = 4, L = 32, K = 8: 500 tokens keep 4 + 14 · 8 and a window of 32 + 16.
      #expect(results[0]["kept"] as? Double == Double(4 + 8 * 14 + 48) / 500)
      let layers = try #require(results[0]["layers"] as? [[String: Any]])
      #expect(layers.count == 4)
      let norms = try layerZeroNorms(documents, policy, daemon, folder)
      #expect(abs((layers[0]["value_norm"] as? Double ?? 0) - norms) < 1e-5 && norms < 0.95)
      for (layer, share) in evidence.enumerated() {
        #expect(layers[layer]["evidence"] as? Double == Double(share) / Double(4 * 4 * 2), "layer \(layer)")
      }
      #expect(evidence.contains { $0 < 32 })
      let full = try #require(results[1]["layers"] as? [[String: Any]])
      for name in ["rows", "value_norm", "evidence"] {
        #expect(full.allSatisfy { $0[name] as? Double == 1 }, "\(name)")
      }
      #expect(try link.listSessions().allSatisfy { !$0.name.hasPrefix("evaluation") })
    }
  }

  /// Layer 0's values depend on nothing that was dropped: those that a session keeps, beside those that one keeps of all.
  private func layerZeroNorms(
    _ documents: [Planted], _ policy: [String], _ daemon: PrivateDaemon, _ folder: String
  ) throws -> Double {
    let link = try LagoonConnection(socketPath: daemon.socketPath)
    func sum(_ policy: [String]) throws -> Double {
      var sum = 0.0
      for document in documents {
        let name = UUID().uuidString
        try document.text.write(toFile: folder + "/" + name, atomically: true, encoding: .utf8)
        let ingest = try Program.run(
          "lagoon-lm",
          [
            "ingest", Self.model, "--text", folder + "/" + name, "--session", name, "--socket",
            daemon.socketPath,
          ] + Self.retention + policy)
        try #require(ingest.status == 0, "\(ingest.errors)")
        let values = try link.openSession(name).fetch(layer: 0).valueFloats
        sum += values.reduce(0) { $0 + Double($1) * Double($1) }
      }
      return sum
    }
    return try sum(policy) / sum(["--policy", "full"])
  }

  /// The model of the repository recalls numbers, and less when it keeps less.
  @Test func recallFallsWithWhatIsKept() throws {
    try withDocuments(["--numbers", "3", "--gap", "64", "--documents", "6", "--ask", "end"]) {
      daemon, folder, _ in
      let report = try json(
        "lagoon-train",
        [
          "eval", Self.model, "--task", "numbers", "--from", folder + "/test.jsonl", "--socket",
          daemon.socketPath,
          "--keep", "full", "--keep", "lagkv:0.5", "--keep", "streaming",
        ] + Self.retention)
      let results = try #require(report["results"] as? [[String: Any]])
      let right = results.compactMap { $0["right"] as? Int }
      try #require(right.count == 3)
      #expect(right[0] >= 15 && right[0] >= right[1] && right[1] > right[2] && right[2] == 0, "\(right)")
      #expect(results.allSatisfy { ($0["outcomes"] as? [Any])?.isEmpty == true })
    }
  }

  @Test func bitsPerByteArePerplexitys() throws {
    try withDocuments(["--numbers", "2", "--gap", "64", "--documents", "1"]) { daemon, folder, documents in
      let policy = ["--policy", "lagkv", "--ratio", "0.25"]
      let report = try json(
        "lagoon-train",
        [
          "eval", Self.model, "--task", "bits-per-byte", "--from", folder + "/test.jsonl", "--socket",
          daemon.socketPath,
        ] + Self.retention + policy)
      let result = try #require((report["results"] as? [[String: Any]])?.first)
      let bits = try #require(result["bits_per_byte"] as? Double)
      let expected = try loss(documents[0].text, policy, daemon, folder) / log(2) / 499
      #expect(abs(bits - expected) < 1e-6)
      let buckets = try #require(result["buckets"] as? [[String: Any]])
      #expect(buckets.map { $0["from"] as? Int } == [0, 128, 256])
      #expect(buckets.map { $0["to"] as? Int } == [128, 256, 512])
      #expect(buckets.map { $0["tokens"] as? Int } == [127, 128, 244])
      // The first bucket is the text of 128 bytes alone.
      let first = try loss(
        String(decoding: documents[0].text.utf8.prefix(128), as: UTF8.self), policy, daemon, folder)
      #expect(abs((buckets[0]["bits_per_byte"] as? Double ?? 0) - first / log(2) / 127) < 1e-6)
    }
  }

  @Test(arguments: [
    "passkey", "niah-single-1", "niah-multikey-2", "niah-multikey-3", "variable-tracking", "frequent-words",
  ]) func everyTaskIsAsked(_ task: String) throws {
    let run = try Program.run(
      "lagoon-train",
      ["eval", Self.model, "--task", task, "--length", "1500", "--documents", "1", "--keep", "lagkv:0.5"]
        + Self.retention)
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.output.contains("lagkv") && run.output.contains("1 documents"))
  }

  @Test func mistakesAreSaidPlainly() throws {
    func check(_ arguments: [String], _ status: Int32, _ words: String) throws {
      let run = try Program.run("lagoon-train", ["eval", Self.model] + arguments)
      #expect(run.status == status && run.errors.contains(words), "\(arguments): \(run.errors)")
    }
    try check(["--task", "numbers"], 1, "--text")
    try check(["--task", "nothing"], 64, "frequent-words")
    try check(["--task", "passkey", "--keep", "full:0.5"], 64, "--keep")
    try check(["--task", "passkey", "--keep", "lagkv:1.5"], 64, "--keep")
    try check(["--task", "passkey", "--keep", "lagkv", "--ratio", "0.5"], 64, "--ratio")
    try check(["--task", "passkey", "--length", "90"], 1, "90 tokens")
    try check(["--task", "passkey", "--from", "x"], 64, "--from")
    try check(["--task", "numbers", "--from", "/nowhere"], 1, "/nowhere")
    let path = FileManager.default.temporaryDirectory.path + "/lagoon-eval-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    for (line, words) in [
      ("{\"text\": \"a\"}", "planted"), ("no", ":2"),
      (
        "{\"text\": \"a [1234] \", \"planted\": [{\"number\": \"1234\", \"stated\": 3}], \"index\": 0, \"seed\": 0}",
        "byte 3"
      ),
    ] {
      try ("\n" + line + "\n").write(toFile: path, atomically: true, encoding: .utf8)
      try check(["--task", "numbers", "--from", path], 1, words)
    }
    let digits = try Program.run(
      "lagoon-train", ["plant", "--text", Program.root + "/Package.swift", "-o", path])
    #expect(digits.status == 1 && digits.errors.contains("digit"))
    let short = try Program.run("lagoon-train", ["plant", "--text", "-", "-o", path])
    #expect(short.status == 1 && short.errors.contains("empty"))
  }
}
