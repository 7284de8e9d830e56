import Foundation
import Testing
import ToolSupport

/// `lagoon-train posttrain` through a real daemon, on the repository's model.
@Suite struct PosttrainTests {
  /// A run that is killed in each of its phases, and resumed, ends with the bytes of one that was left alone.
  @Test func killedRunsEndTheSame() throws {
    let expected = try TrainingRun.with { run in
      let (status, lines) = try run.watch()
      try #require(status == 0, "\(lines)")
      return try run.weights()
    }
    try TrainingRun.with { run in
      for moment in [
        "forward step 1 document 1", "backward step 2 document 1", "optimizer step 2", "checkpoint step 3",
        "evaluation step 2",
      ] {
        let resumed = FileManager.default.fileExists(atPath: run.path) ? ["--resume"] : []
        let (status, lines) = try run.watch(["--checkpoint-seconds", "0"] + resumed) { line, process in
          if line.hasPrefix(moment) { kill(process.processIdentifier, SIGKILL) }
        }
        // A moment that lies behind where an earlier kill came too late has passed.
        #expect(status == -SIGKILL || !lines.contains { $0.hasPrefix(moment) }, "\(moment): \(lines)")
      }
      let (status, lines) = try run.watch(["--checkpoint-seconds", "0", "--resume"])
      try #require(status == 0, "\(lines)")
      #expect(try run.weights() == expected)
    }
  }

  /// The same for the daemon's death: the documents under way are done again, nothing else is.
  @Test func killedDaemonsCostOnlyTheDocument() throws {
    let expected = try TrainingRun.with { run in
      try #require(try run.watch().status == 0)
      return try run.weights()
    }
    try TrainingRun.with { run in
      let daemon = try PrivateDaemon()
      defer { daemon.stop() }
      var moments = ["forward step 1 document 1", "backward step 2 document 0", "optimizer step 3"]
      let (status, lines) = try run.watch(["--socket", daemon.socketPath]) { line, _ in
        guard let moment = moments.first, line.hasPrefix(moment) else { return }
        moments.removeFirst()
        daemon.kill()
        try daemon.start()
      }
      try #require(status == 0, "\(lines)")
      #expect(moments.isEmpty)
      #expect(lines.contains { $0.hasPrefix("trying again after") })
      #expect(lines.count { $0.hasPrefix("optimizer") } == 4)
      #expect(try run.weights() == expected)
    }
  }

  /// Ctrl-C: a checkpoint of what was finished, an exit status that says so, and no difference in the end.
  @Test func interruptedRunsGoOn() throws {
    let expected = try TrainingRun.with { run in
      try #require(try run.watch().status == 0)
      return try run.weights()
    }
    try TrainingRun.with { run in
      let (status, lines) = try run.watch { line, process in
        if line.hasPrefix("forward step 3 document 1") { kill(process.processIdentifier, SIGINT) }
      }
      #expect(status == 128 + SIGINT, "\(lines)")
      #expect(lines.contains { $0.contains("--resume") })
      let begun = try run.watch(["--resume"])
      try #require(begun.status == 0, "\(begun.lines)")
      // The first document of the third step is in the checkpoint.
      #expect(begun.lines.first { $0.hasPrefix("forward") } == "forward step 3 document 1")
      #expect(try run.weights() == expected)
    }
  }

  /// Every line of the record is there once, whatever happened between.
  @Test func theRecordIsWhole() throws {
    try TrainingRun.with { run in
      _ = try run.watch(["--checkpoint-seconds", "0"]) { line, process in
        if line.hasPrefix("backward step 3 document 1") { kill(process.processIdentifier, SIGKILL) }
      }
      try #require(try run.watch(["--checkpoint-seconds", "0", "--resume"]).status == 0)
      let text = try String(contentsOfFile: run.path + "/metrics.jsonl", encoding: .utf8)
      let kinds = try text.split(separator: "\n").map { line in
        let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
        return "\(object?["kind"] ?? "") \(object?["step"] ?? "")"
      }
      #expect(
        kinds == [
          "evaluation 0", "step 1", "step 2", "evaluation 2", "event 2", "step 3", "step 4", "evaluation 4",
        ])
    }
  }

  @Test func mistakesAreSaidPlainly() throws {
    try TrainingRun.with { run in
      let nothing = try run.watch(["--resume"])
      #expect(nothing.status == 1 && nothing.lines.contains { $0.contains("no run") })
      try FileManager.default.removeItem(atPath: run.path)
      // A model beside which no run stands would be overwritten at the end.
      let models = run.folder + "/models"
      try FileManager.default.createDirectory(atPath: models + "/model", withIntermediateDirectories: true)
      let foreign = try run.watch(["-o", models])
      #expect(foreign.status == 1 && foreign.lines.contains { $0.contains(models + "/model is there") })
      #expect(try FileManager.default.contentsOfDirectory(atPath: models) == ["model"])
      try #require(try run.watch(["--steps", "1"]).status == 0)
      let again = try run.watch(["--steps", "1"])
      #expect(again.status == 1 && again.lines.contains { $0.contains("--resume") })
      let other = try run.watch(["--steps", "1", "--resume", "--learning-rate", "0.5"])
      #expect(other.status == 1 && other.lines.contains { $0.contains("schedule") })
      let reseeded = try run.watch(["--steps", "1", "--resume", "--seed", "8"])
      #expect(reseeded.status == 1 && reseeded.lines.contains { $0.contains("seed") }, "\(reseeded.lines)")
      let missing = try run.watch(["--data", "/nowhere.txt", "-o", run.folder + "/other"])
      #expect(missing.status == 1 && missing.lines.contains { $0.contains("/nowhere.txt") })
    }
  }

  /// A learning rate that tears the weights apart: the document is named and a good checkpoint is left.
  @Test func lossesThatAreNotFiniteStopTheRun() throws {
    try TrainingRun.with { run in
      let (status, lines) = try run.watch([
        "--learning-rate", "1e30", "--clip", "0", "--steps", "6", "--checkpoint-seconds", "0",
      ])
      #expect(status == 1)
      #expect(
        lines.contains { $0.contains("not finite") && $0.contains("text.txt") && $0.contains("checkpoint") },
        "\(lines)")
      #expect(!FileManager.default.fileExists(atPath: run.path + "/model"))
    }
  }
}
