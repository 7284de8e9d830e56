import Foundation
import ToolSupport

/// A run of one of the project's executables, which stand beside the test's own.
struct Program {
  let status: Int32
  let output: String
  let errors: String

  /// Runs to the end. Standard input is empty, and nothing is a terminal.
  static func run(
    _ name: String, _ arguments: [String], environment: [String: String] = [:], folder: String? = nil,
    shell: String? = nil
  ) throws -> Program {
    let process = try prepare(name, arguments, environment: environment, folder: folder, shell: shell)
    let output = Pipe()
    process.standardOutput = output
    // A file, because a second pipe would have to be emptied at the same time.
    let errors = FileManager.default.temporaryDirectory.appending(path: "lagoon-test-\(UUID().uuidString)")
    try Data().write(to: errors)
    defer { try? FileManager.default.removeItem(at: errors) }
    process.standardError = try FileHandle(forWritingTo: errors)
    try process.run()
    let printed = try output.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    return Program(
      status: process.terminationStatus, output: String(decoding: printed, as: UTF8.self),
      errors: String(decoding: try Data(contentsOf: errors), as: UTF8.self))
  }

  /// - Parameter shell: a script that runs the program, which is `"$@"` in it; nil: the program itself.
  static func prepare(
    _ name: String, _ arguments: [String], environment: [String: String] = [:], folder: String? = nil,
    shell: String? = nil
  ) throws -> Process {
    // What the tests' own shell has ignored, programs would ignore too.
    for number in [SIGINT, SIGTERM, SIGHUP] { signal(number, SIG_DFL) }
    let process = Process()
    let program = try PrivateDaemon.findExecutable(name)
    process.executableURL = URL(filePath: shell == nil ? program : "/bin/sh")
    process.arguments = (shell.map { ["-c", $0, "sh", program] } ?? []) + arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    if let folder { process.currentDirectoryURL = URL(filePath: folder) }
    process.standardInput = FileHandle.nullDevice
    return process
  }

  /// The repository's root.
  static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().path
}
