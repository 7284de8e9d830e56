import Foundation
import ToolSupport

/// A run of `lagoon-train posttrain --verbose` on a text of this repository, watched line by line, so that a test can act at a
/// moment of its choice.
struct TrainingRun {
  let folder: String
  var path: String { folder + "/run" }

  /// A temporary folder, removed after `body`.
  static func with<Result>(_ body: (TrainingRun) throws -> Result) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.path + "/lagoon-run-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let text = try Data(contentsOf: URL(filePath: Program.root + "/docs/protocol.md"))
    try text.prefix(8000).write(to: URL(filePath: folder + "/text.txt"))
    return try body(TrainingRun(folder: folder))
  }

  /// Two documents a step, one after the other, three chunks each, of which the first partitions are compressed.
  func arguments(_ more: [String] = []) -> [String] {
    [
      "posttrain", Program.root + "/data/kjv-tiny", "--data", folder + "/text.txt", "--hold-out", "0.1",
      "--length", "300", "--sinks", "4", "--lag", "32", "--ratio", "0.25", "--chunk", "128", "--steps", "4",
      "--warm-up", "1", "--documents-per-step", "2", "--together", "1", "--evaluate-every", "2",
      "--evaluation-documents", "1", "--seed", "7", "-o", path, "--verbose",
    ] + more
  }

  /// The bytes of the result.
  func weights() throws -> Data {
    try Data(contentsOf: URL(filePath: path + "/model/model.safetensors"))
  }

  /// Runs to the end, or until `act` has done something about it.
  ///
  /// - Parameter act: called with each line and the process, on the way.
  /// - Returns: the exit status (negative: the signal that ended it), and all lines.
  func watch(_ more: [String] = [], _ act: (String, Process) throws -> Void = { _, _ in }) throws -> (
    status: Int32, lines: [String]
  ) {
    // A run that is killed leaves its daemon's folder.
    let process = try Program.prepare("lagoon-train", arguments(more), environment: ["TMPDIR": folder])
    let errors = Pipe()
    process.standardError = errors
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    var lines: [String] = []
    var rest = Data()
    while case let part = errors.fileHandleForReading.availableData, !part.isEmpty {
      rest += part
      while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
        let line = String(decoding: rest[..<end], as: UTF8.self)
        rest = Data(rest[(end + 1)...])
        lines.append(line)
        try act(line, process)
      }
    }
    process.waitUntilExit()
    let status = process.terminationStatus
    return (process.terminationReason == .uncaughtSignal ? -status : status, lines)
  }
}
