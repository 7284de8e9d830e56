import ClaimExperiment
import Foundation
import ToolSupport

/// A stage whose program is running.
final class RunningStage {
  let stage: Stage
  let process: Process
  private let started = ContinuousClock.now
  private let logPath: String
  private let outputPath: String

  /// Starts the program.
  ///
  /// Its log is its standard error, and locked: the lock belongs to the open file that both processes share, so it holds as long as
  /// the program lives, also when this one is killed.
  ///
  /// - Returns: nil when a program that an earlier run left behind holds the lock.
  init?(_ stage: Stage, program: String, threads: Int, folder: String) throws {
    self.stage = stage
    logPath = "\(folder)/logs/\(stage.name).log"
    outputPath = "\(folder)/logs/\(stage.name).out"
    let descriptor = open(logPath, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else {
      throw ToolError("cannot write \(logPath): \(String(cString: strerror(errno)))")
    }
    let log = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else { return nil }
    guard FileManager.default.createFile(atPath: outputPath, contents: nil),
      let output = FileHandle(forWritingAtPath: outputPath)
    else { throw ToolError("cannot write \(outputPath): \(String(cString: strerror(errno)))") }
    let hasBegun =
      stage.run.map { FileManager.default.fileExists(atPath: "\(folder)/\($0)/run.json") } ?? false
    process = Process()
    process.executableURL = URL(filePath: program)
    process.arguments = stage.arguments + (hasBegun ? ["--resume"] : [])
    process.currentDirectoryURL = URL(filePath: folder)
    process.environment = ProcessInfo.processInfo.environment.merging([
      "OMP_NUM_THREADS": "\(threads)"
    ]) { $1 }
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = log
    try process.run()
  }

  var seconds: Double { (ContinuousClock.now - started).inSeconds }

  /// Keeps what an ended program printed.
  ///
  /// - Returns: its seconds. Those of a training that was resumed are of its last part.
  /// - Throws: when it failed, with the end of its log.
  func finish(in folder: ResultsFolder) throws -> Double {
    let seconds = self.seconds
    guard process.terminationReason == .exit, process.terminationStatus == 0 else {
      let how = process.terminationReason == .exit ? "ended with code" : "was ended by signal"
      throw ToolError(
        "\(stage.name): lagoon-train \(how) \(process.terminationStatus); the same command goes on from here. "
          + "\(logPath) ends with\n" + logTail(lines: 8).map { "  \($0)" }.joined(separator: "\n"))
    }
    let output = FileManager.default.contents(atPath: outputPath) ?? Data()
    try folder.finish(stage, seconds: seconds, output: output)
    try? FileManager.default.removeItem(atPath: outputPath)
    return seconds
  }

  /// What the program is at.
  func news() -> String {
    let said = stage.kind == .train ? logTail(lines: 1).first : nil
    return stage.name + " " + (said ?? Units.seconds(seconds))
  }

  private func logTail(lines count: Int) -> [String] {
    guard let file = FileHandle(forReadingAtPath: logPath), let end = try? file.seekToEnd() else { return [] }
    try? file.seek(toOffset: end > 4096 ? end - 4096 : 0)
    let text = String(decoding: (try? file.readToEnd()) ?? Data(), as: UTF8.self)
    return text.split(separator: "\n").suffix(count).map(String.init)
  }
}
