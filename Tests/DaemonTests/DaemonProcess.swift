import Foundation
import Glibc
import LagoonClient
import Testing

/// The real executable, built beside the tests, on a store and socket of its own; killed when it ends.
final class DaemonProcess {
  let process = Process()
  let socketPath: String
  private let input = Pipe()
  private let errors = Pipe()
  private(set) var log = ""

  /// Starts `lagoond` and waits until it serves.
  static func serving(
    _ folder: TemporaryFolder, _ arguments: [String] = [], environment: [String: String] = [:]
  ) throws -> DaemonProcess {
    let daemon = try DaemonProcess(
      ["--store", folder("store"), "--socket", folder("socket"), "--quota", "1GiB", "--threads", "2"]
        + arguments,
      socketPath: folder("socket"), environment: environment)
    try daemon.waitUntilServing()
    return daemon
  }

  /// - Parameter launcher: a program, with its arguments, that then becomes `lagoond`.
  init(
    _ arguments: [String], socketPath: String, environment: [String: String] = [:],
    through launcher: [String] = []
  ) throws {
    self.socketPath = socketPath
    let command = launcher + [try Self.executable.path] + arguments
    process.executableURL = URL(fileURLWithPath: command[0])
    process.arguments = Array(command.dropFirst())
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.standardInput = input
    process.standardError = errors
    process.standardOutput = errors
    try process.run()
  }

  deinit { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }

  /// Beside the tests' own executable.
  static var executable: URL {
    get throws {
      var path = [CChar](repeating: 0, count: 4096)
      let count = readlink("/proc/self/exe", &path, path.count)
      let folder = URL(
        fileURLWithPath: String(decoding: path.prefix(max(0, count)).map(UInt8.init), as: UTF8.self)
      )
      .deletingLastPathComponent()
      // `swift test` may run the tests inside a helper of the toolchain; then they were built where this file's package is.
      let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
      let candidates = [
        folder.appendingPathComponent("lagoond"), root.appendingPathComponent(".build/release/lagoond"),
        root.appendingPathComponent(".build/debug/lagoond"),
      ]
      return try #require(
        candidates.first { FileManager.default.isExecutableFile(atPath: $0.path) }, "lagoond is not built")
    }
  }

  func waitUntilServing() throws {
    let end = Date().addingTimeInterval(20)
    while (try? LagoonConnection(socketPath: socketPath)) == nil {
      guard process.isRunning, Date() < end else {
        throw NotServing(log: waitForExit().log)
      }
      usleep(2_000)
    }
  }

  struct NotServing: Error { let log: String }

  func connect(arenaBytes: Int = 0) throws -> LagoonConnection {
    try LagoonConnection(socketPath: socketPath, clientName: "tests", arenaBytes: arenaBytes)
  }

  func send(_ signal: Int32) { kill(process.processIdentifier, signal) }

  func closeInput() throws { try input.fileHandleForWriting.close() }

  /// What it printed and how it ended.
  @discardableResult
  func waitForExit() -> (status: Int32, log: String) {
    if process.isRunning, process.processIdentifier > 0 {
      let end = Date().addingTimeInterval(20)
      while process.isRunning, Date() < end { usleep(2_000) }
      if process.isRunning { send(SIGKILL) }
    }
    process.waitUntilExit()
    log += String(decoding: (try? errors.fileHandleForReading.readToEnd()) ?? Data(), as: UTF8.self)
    return (process.terminationStatus, log)
  }

  /// Dies as if the power had gone, as far as the process is concerned.
  func killHard() {
    send(SIGKILL)
    process.waitUntilExit()
  }

  var processID: Int32 { process.processIdentifier }
}
