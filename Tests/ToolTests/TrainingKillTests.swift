import Foundation
import TestSupport
import Testing
import ToolSupport

/// Runs that are killed over and over: the trainer, and the daemon, five times in each phase.
@Suite(
  .serialized,
  .enabled(if: longTests, "long: make test-long"))
struct TrainingKillTests {
  /// Runs of this many steps have each phase often enough.
  private static let steps = ["--steps", "8", "--evaluate-every", "4"]
  private static let kills = 5

  private static let expected = Result { () throws -> Data in
    try TrainingRun.with { run in
      try #require(try run.watch(steps).status == 0)
      return try run.weights()
    }
  }

  /// The trainer dies at the beginning of a phase, or some milliseconds into it, and is resumed.
  @Test(arguments: ["forward", "backward", "optimizer", "checkpoint"])
  func theTrainer(_ phase: String) throws {
    try TrainingRun.with { run in
      var killed = 0
      var status: Int32 = -1
      while killed < Self.kills {
        let resumed = FileManager.default.fileExists(atPath: run.path + "/run.json") ? ["--resume"] : []
        // Another moment of the phase each time; a little further each time, so that the run comes on.
        var left = 2 + killed % 2
        let delay = UInt32(killed * 700)
        let (ended, lines) = try run.watch(Self.steps + ["--checkpoint-seconds", "0"] + resumed) {
          line, process in
          guard line.hasPrefix(phase), left > 0 else { return }
          left -= 1
          guard left == 0 else { return }
          usleep(delay)
          kill(process.processIdentifier, SIGKILL)
        }
        status = ended
        try #require(ended == -SIGKILL, "the run ended before \(Self.kills) kills in \(phase): \(lines)")
        killed += 1
      }
      let (ended, lines) = try run.watch(Self.steps + ["--checkpoint-seconds", "0", "--resume"])
      try #require(ended == 0, "\(lines), after \(status)")
      #expect(try run.weights() == Self.expected.get())
    }
  }

  /// The daemon dies while the trainer is in a phase; the trainer goes on by itself.
  @Test(arguments: ["forward", "backward", "optimizer", "checkpoint"])
  func theDaemon(_ phase: String) throws {
    try TrainingRun.with { run in
      let daemon = try PrivateDaemon()
      defer { daemon.stop() }
      var (killed, seen) = (0, 0)
      let (status, lines) = try run.watch(
        Self.steps + ["--checkpoint-seconds", "0", "--socket", daemon.socketPath]
      ) { line, _ in
        guard line.hasPrefix(phase), killed < Self.kills else { return }
        seen += 1
        // Documents that are tried again have their phases again: not every time, or none would ever come through.
        guard seen % 3 == 1 || phase == "optimizer" || phase == "checkpoint" else { return }
        usleep(UInt32(killed * 700))
        daemon.kill()
        try daemon.start()
        killed += 1
      }
      try #require(status == 0, "\(lines)")
      #expect(killed == Self.kills)
      #expect(try run.weights() == Self.expected.get())
    }
  }
}
