import Foundation
import Testing
import ToolSupport

/// `lagoon-results` on a setting so small that it shows nothing but whether the machinery works.
@Suite struct ResultsTests {
  /// Words in seeded order.
  private func prose(_ bytes: Int) -> String {
    let words =
      "and the lord said unto moses go up into the mountain of my people behold israel shall not eat bread"
      .split(separator: " ")
    var (state, text) = (UInt64(3), "")
    while text.utf8.count < bytes {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      text += words[Int(state >> 33) % words.count] + " "
    }
    return text
  }

  private func withFolder(_ body: (String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.path + "/lagoon-results-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try prose(80_000).write(toFile: folder + "/text", atomically: true, encoding: .utf8)
    try body(folder)
  }

  private func arguments(_ folder: String) -> [String] {
    [
      "run", "--folder", folder + "/results", "--smoke", "--seeds", "1", "--steps", "2", "--documents", "2",
      "--length", "256", "--lag", "16", "--numbers", "2", "--model", Program.root + "/data/kjv-tiny",
      "--text",
      folder + "/text",
    ]
  }

  /// All stages, once; a killed run goes on; the tables and the picture are made of them.
  @Test func everyStageIsRunOnce() throws {
    try withFolder { folder in
      // What is killed leaves its daemon's folder.
      let killed = try Program.prepare(
        "lagoon-results", arguments(folder), environment: ["TMPDIR": folder])
      killed.standardError = FileHandle.nullDevice
      killed.standardOutput = FileHandle.nullDevice
      try killed.run()
      let stages = folder + "/results/stages"
      let deadline = ContinuousClock.now + .seconds(60)
      while ContinuousClock.now < deadline, killed.isRunning,
        !FileManager.default.fileExists(atPath: stages + "/train-pilot-dense.json")
      { usleep(20_000) }
      kill(killed.processIdentifier, SIGKILL)
      killed.waitUntilExit()
      let early = Set(try FileManager.default.contentsOfDirectory(atPath: stages))
      try #require(early.contains("train-pilot-dense.json"))

      let run = try Program.run("lagoon-results", arguments(folder))
      try #require(run.status == 0, "\(run.errors)")
      let done = Set(try FileManager.default.contentsOfDirectory(atPath: stages))
      #expect(done.count == 51 && early.isSubset(of: done))
      for stage in early { #expect(!run.errors.contains(stage.dropLast(5) + ":"), "\(stage) was run again") }
      let idle = try Program.run("lagoon-results", arguments(folder))
      #expect(idle.status == 0 && !idle.errors.contains("eval-1"), "\(idle.errors)")

      let document = Program.root + "/docs/results.md"
      // A symbolic link stays.
      let link = folder + "/link.md"
      try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: "results.md")
      let report = try Program.run(
        "lagoon-results",
        ["report", "--folder", folder + "/results", "--document", document, "-o", link])
      try #require(report.status == 0, "\(report.errors)")
      #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link) == "results.md")
      let text = try String(contentsOfFile: folder + "/results.md", encoding: .utf8)
      #expect(
        text.contains("A smoke run") && text.contains("| 1    | random |") && text.contains("| length 1024"))
      #expect(FileManager.default.fileExists(atPath: folder + "/images/claim.svg"))
      // The arms of a seed read the same documents in the same order and end elsewhere.
      func settings(_ arm: String) throws -> [String: NSObject] {
        let data = try Data(contentsOf: URL(filePath: folder + "/results/runs/1-\(arm)/run.json"))
        return try JSONSerialization.jsonObject(with: data) as? [String: NSObject] ?? [:]
      }
      let (dense, lrsa) = (try settings("dense"), try settings("lrsa"))
      #expect(dense["corpus"] == lrsa["corpus"] && dense["seed"] == NSNumber(value: 1))
      #expect(lrsa["seed"] == NSNumber(value: 1) && dense["attention"] != lrsa["attention"])
      let weights = try ["dense", "lrsa", "random"].map { arm in
        try Data(contentsOf: URL(filePath: folder + "/results/runs/1-\(arm)/model/model.safetensors"))
      }
      #expect(Set(weights).count == 3)
    }
  }

  @Test func mistakesAreSaidPlainly() throws {
    try withFolder { folder in
      let nowhere = try Program.run(
        "lagoon-results",
        ["report", "--folder", folder + "/nothing", "-o", Program.root + "/docs/results.md"])
      #expect(nowhere.status == 1 && nowhere.errors.contains("lagoon-results run"))
      // A text that cannot be used, whichever stage reads its part first: the stage is named, with what was said of it.
      try "16111611".write(toFile: folder + "/text", atomically: true, encoding: .utf8)
      let digits = try Program.run("lagoon-results", arguments(folder))
      #expect(
        digits.status == 1 && digits.errors.contains("plant-") && digits.errors.contains("digit"),
        "\(digits.errors)")
      let other = try Program.run("lagoon-results", arguments(folder) + ["--steps", "3"])
      #expect(other.status == 1 && other.errors.contains("design"), "\(other.errors)")
    }
  }
}
