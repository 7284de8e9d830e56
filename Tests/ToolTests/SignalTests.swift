import Foundation
import Testing

/// What a tool makes of signals that it was started with.
@Suite struct SignalTests {
  /// Starts a tool that writes for minutes, and calls `body` when it is at it.
  ///
  /// - Parameter body: gets the process and the bytes that are written by now.
  private func withWriter(_ shell: String, _ body: (Process, () -> Int) throws -> Void) throws {
    let files = FileManager.default
    let folder = files.temporaryDirectory.path + "/lagoon-signals-\(UUID().uuidString)"
    try files.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? files.removeItem(atPath: folder) }
    let words = String(repeating: "and the lord said unto moses go up into the mountain ", count: 400)
    try words.write(toFile: folder + "/text", atomically: true, encoding: .utf8)
    let process = try Program.prepare(
      "lagoon-train",
      ["plant", "--text", folder + "/text", "--documents", "300000", "-o", folder + "/out/x.jsonl"],
      shell: shell)
    try files.createDirectory(atPath: folder + "/out", withIntermediateDirectories: true)
    process.standardError = FileHandle.nullDevice
    try process.run()
    defer {
      kill(process.processIdentifier, SIGKILL)
      process.waitUntilExit()
    }
    func bytes() -> Int {
      let name = (try? files.contentsOfDirectory(atPath: folder + "/out"))?.first ?? ""
      return (try? files.attributesOfItem(atPath: "\(folder)/out/\(name)"))?[.size] as? Int ?? 0
    }
    try #require(wait(process) { bytes() > 0 })
    try body(process, bytes)
    #expect(try files.contentsOfDirectory(atPath: folder + "/out").isEmpty)
  }

  /// Whether it comes true while the process runs.
  private func wait(_ process: Process, _ condition: () -> Bool) -> Bool {
    let deadline = ContinuousClock.now + .seconds(60)
    while !condition() {
      guard process.isRunning, ContinuousClock.now < deadline else { return false }
      usleep(5_000)
    }
    return true
  }

  /// As under nohup(1), and as in the background of a script.
  @Test func whatIsIgnoredFromTheStartStaysIgnored() throws {
    try withWriter("trap '' HUP INT; exec \"$@\"") { process, bytes in
      for number in [SIGHUP, SIGINT] {
        let before = bytes()
        kill(process.processIdentifier, number)
        #expect(wait(process) { bytes() > before + 100_000 }, "signal \(number) ended the tool")
      }
      kill(process.processIdentifier, SIGTERM)
      process.waitUntilExit()
      #expect(process.terminationStatus == 128 + SIGTERM)
    }
  }

  @Test(arguments: [SIGHUP, SIGINT, SIGTERM])
  func otherwiseTheyEndTheTool(_ number: Int32) throws {
    try withWriter("exec \"$@\"") { process, _ in
      kill(process.processIdentifier, number)
      process.waitUntilExit()
      #expect(process.terminationStatus == 128 + number)
    }
  }
}
