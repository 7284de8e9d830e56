import Testing

@Suite struct VersionTests {
  /// All programs have the daemon's version, and say it in the same form.
  @Test(arguments: [
    "lagoond", "lagoon", "lagoon-lm", "lagoon-train", "lagoon-results", "lagoon-demo", "lagoon-bench",
  ])
  func everyProgramTellsItsVersion(_ name: String) throws {
    let daemon = try Program.run("lagoond", ["--version"]).output.split(separator: " ")
    try #require(daemon.count == 2)
    let run = try Program.run(name, ["--version"])
    #expect(run.status == 0 && run.output == "\(name) \(daemon[1])", "\(run.output)")
  }
}
