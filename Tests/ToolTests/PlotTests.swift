import Foundation
import RunRecord
import Testing
import ToolSupport

/// `lagoon-train plot` on runs that are written here.
@Suite struct PlotTests {
  private func withFolder(_ body: (String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.path + "/lagoon-plot-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(folder)
  }

  /// A run of 200 steps with a skipped step, a resume and, where asked for, drift.
  private func record(_ folder: String, drift: Bool = true) throws {
    let log = try RunLog(folder: folder, keepingThroughStep: 0)
    for index in 1...200 {
      let isSpike = index == 90
      try log.append(
        StepRecord(
          step: index, tokens: index * 512, documents: 2, loss: isSpike ? 40 : 2.3 - Double(index) / 1000,
          targets: 500, learningRate: 3e-4 * min(1, Double(index) / 50), gradientNorm: isSpike ? 300 : 0.5,
          seconds: 0.1, tokensPerSecond: 5120, skipped: isSpike ? "a spike" : nil))
      if index % 50 == 0 {
        try log.append(
          EvaluationRecord(
            step: index, loss: 2.1 + 1 / Double(index), bitsPerByte: 3, documents: 4,
            keptSetDrift: drift ? 0.1 : nil, isBest: true))
      }
    }
    try log.append(EventRecord(step: 200, what: .resume, detail: "after a kill"))
    try log.close()
  }

  private func plot(_ arguments: String...) throws -> Program {
    try Program.run("lagoon-train", ["plot"] + arguments)
  }

  @Test func aRunIsDrawnIntoItsFolder() throws {
    try withFolder { folder in
      let run = folder + "/a <b> & c"
      try record(run)
      let program = try plot(run)
      try #require(program.status == 0, "\(program.errors)")
      #expect(
        program.output.hasSuffix("plot.svg: loss, learning rate, gradient norm, throughput, kept-set drift\n")
      )
      let svg = try String(contentsOfFile: run + "/plot.svg", encoding: .utf8)
      for text in [
        "a &lt;b&gt; &amp; c", "200 steps, 102,400 tokens; best held-out loss 2.1050 (3.0000 bits per byte)",
        "loss",
        "learning rate", "gradient norm", "throughput", "kept-set drift", "skipped step", "resumed", "1e-4",
        "step",
        "nats per target; 1 value beyond the axis, up to 40.0",
      ] {
        #expect(svg.contains(">" + text), "\(text)")
      }
      #expect(try plot(run).status == 0)
      #expect(try String(contentsOfFile: run + "/plot.svg", encoding: .utf8) == svg)
    }
  }

  @Test func runsAreComparedInOnePicture() throws {
    try withFolder { folder in
      for name in ["x/run", "y/run"] { try record("\(folder)/\(name)", drift: name == "x/run") }
      let refused = try plot(folder + "/x/run", folder + "/y/run")
      #expect(refused.status == 64)
      #expect(refused.errors.contains("-o comparison.svg"))
      let output = folder + "/both.svg"
      let program = try plot(folder + "/x/run", folder + "/y/run", "--title", "Both", "-o", output, "--json")
      try #require(program.status == 0, "\(program.errors)")
      let report = try #require(
        JSONSerialization.jsonObject(with: Data(program.output.utf8)) as? [String: Any])
      let runs = try #require(report["runs"] as? [[String: Any]])
      #expect(runs.map { $0["skipped_steps"] as? Int } == [1, 1])
      #expect(runs.map { $0["best_step"] as? Int } == [200, 200])
      let svg = try String(contentsOfFile: output, encoding: .utf8)
      // Two runs named alike are told apart by their paths.
      for text in ["Both", folder + "/x/run", folder + "/y/run"] { #expect(svg.contains(">\(text)<")) }
    }
  }

  @Test func aPanelWithoutValuesIsLeftOutAndSaidSo() throws {
    try withFolder { folder in
      try record(folder + "/run", drift: false)
      let program = try plot(folder + "/run", "-o", folder + "/run.png")
      try #require(program.status == 0, "\(program.errors)")
      #expect(program.output.hasSuffix(": loss, learning rate, gradient norm, throughput\n"))
      #expect(program.errors.contains("kept-set drift: no values"))
      let png = try Data(contentsOf: URL(filePath: folder + "/run.png"))
      #expect(png.prefix(4) == Data([0x89, 0x50, 0x4E, 0x47]))
    }
  }

  @Test func aRunThatIsBeingWrittenIsDrawn() throws {
    try withFolder { folder in
      try record(folder + "/run")
      let path = folder + "/run/metrics.jsonl"
      let text = try String(contentsOfFile: path, encoding: .utf8)
      try (text + "{\"kind\":\"st").write(toFile: path, atomically: false, encoding: .utf8)
      let program = try plot(folder + "/run", "--from", "100", "--to", "150", "--smooth", "1")
      try #require(program.status == 0, "\(program.errors)")
      #expect(program.errors.contains("line 206 of the record has no end yet"))
      let svg = try String(contentsOfFile: folder + "/run/plot.svg", encoding: .utf8)
      #expect(svg.contains(">100</text>") && svg.contains(">150</text>") && !svg.contains("mean over"))
    }
  }

  @Test func whatCannotBeDrawnIsSaid() throws {
    try withFolder { folder in
      let run = folder + "/run"
      try record(run)
      for (arguments, message) in [
        ([run, "-o", folder + "/run.pdf"], "ends in .svg or .png"), ([folder], "is not the folder of a run"),
        ([run, "--from", "900"], "no values from step 900 to the last"),
        ([run, "--smooth", "0"], "at least 1"),
        ([run, "--from", "9", "--to", "9"], "below --to"),
        ([run, "-o", folder + "/no/a.svg"], "cannot write"),
      ] {
        let program = try Program.run("lagoon-train", ["plot"] + arguments)
        #expect(program.status != 0 && program.errors.contains(message), "\(program.errors)")
      }
      let path = run + "/metrics.jsonl"
      let text = try String(contentsOfFile: path, encoding: .utf8)
      try text.replacingOccurrences(of: "\"step\":7,", with: "\"step\":null,")
        .write(toFile: path, atomically: false, encoding: .utf8)
      #expect(try plot(run).errors.contains("metrics.jsonl:7: step is null"))
      try "".write(toFile: path, atomically: false, encoding: .utf8)
      #expect(try plot(run).errors.contains("nothing is recorded yet"))
    }
  }
}
