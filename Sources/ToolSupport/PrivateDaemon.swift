import Foundation
import Synchronization

/// A daemon of a tool's own: store and socket in a temporary folder that nobody else can enter, gone when the tool ends.
///
/// The daemon runs with `--stop-at-eof` and a pipe on its standard input: it stops when the tool does, even by SIGKILL
/// (the folder then stays behind).
public final class PrivateDaemon: Sendable {
  public struct Options: Sendable {
    /// The daemon's program; nil to look for `lagoond`.
    public var executable: String?
    /// `--store`; nil for a folder that ends with the tool.
    public var store: String?
    /// `--durability`; nil for `process` on a store that ends with the tool, so that nothing waits for the disk, and for
    /// the daemon's default on another.
    public var durability: String?
    /// `--quota`, such as `64GiB`; nil for the daemon's default.
    public var quota: String?
    /// `--threads`; nil for the daemon's default.
    public var threads: Int?
    /// `--cold-after`, such as `24h`; nil for the daemon's default.
    public var coldAfter: String?
    /// Longest wait for the socket.
    public var startSeconds = 20.0
    /// Longest wait for a graceful stop.
    public var stopSeconds = 20.0

    public init() {}
  }

  /// Mode 0700; holds `store` (unless it is elsewhere), `lagoon.sock` and `log`.
  public let folder: String
  public var socketPath: String { folder + "/lagoon.sock" }
  public var storePath: String { options.store ?? folder + "/store" }
  public var logPath: String { folder + "/log" }

  private struct Running {
    let process: Process
    /// The daemon stops when this end closes.
    let input: FileHandle
  }

  private struct State {
    var running: Running?
    var cleanup: ExitCleanup.Token?
  }

  private let executable: String
  private let options: Options
  private let state = Mutex(State())

  /// Makes the folder, starts the daemon and waits until its socket answers.
  ///
  /// - Throws: when `lagoond` is not found, or does not answer in time; the message ends with its log.
  public init(_ options: Options = Options()) throws(ToolError) {
    if let given = options.executable {
      executable = given
    } else {
      executable = try Self.findExecutable("lagoond")
    }
    self.options = options
    folder = try Self.makeTemporaryFolder()
    let token = ExitCleanup.add { [weak self] in self?.stop() }
    state.withLock { $0.cleanup = token }
    do throws(ToolError) {
      try start()
    } catch {
      stop()
      throw error
    }
  }

  deinit { stop() }

  /// The daemon's process, or nil when none runs.
  public var processIdentifier: Int32? {
    state.withLock { $0.running?.process.processIdentifier }
  }

  /// Starts the daemon on the folder's store, after `kill()`.
  public func start() throws(ToolError) {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: executable)
    var arguments = ["--store", storePath, "--socket", socketPath, "--stop-at-eof"]
    if let durability = options.durability ?? (options.store == nil ? "process" : nil) {
      arguments += ["--durability", durability]
    }
    if let quota = options.quota { arguments += ["--quota", quota] }
    if let coldAfter = options.coldAfter { arguments += ["--cold-after", coldAfter] }
    if let threads = options.threads { arguments += ["--threads", String(threads)] }
    process.arguments = arguments
    let input = Pipe()
    process.standardInput = input
    process.standardOutput = FileHandle.nullDevice
    let log = try openLog()
    process.standardError = log
    do {
      try process.run()
    } catch {
      throw ToolError("cannot start \(executable): \(error.localizedDescription)")
    }
    try? log.close()
    let running = Running(process: process, input: input.fileHandleForWriting)
    state.withLock { $0.running = running }
    try waitUntilReady(process)
  }

  /// Kills the daemon with SIGKILL, as a crash would, and keeps its store.
  public func kill() {
    guard let running = state.withLock({ $0.running.take() }) else { return }
    // The number of a process that has ended may be another's by now.
    if running.process.isRunning { Foundation.kill(running.process.processIdentifier, SIGKILL) }
    running.process.waitUntilExit()
    try? running.input.close()
    unlink(socketPath)
  }

  /// Starts the daemon again if its process has ended, however it ended.
  public func startIfEnded() throws(ToolError) {
    if state.withLock({ $0.running?.process.isRunning ?? false }) { return }
    kill()
    try start()
  }

  /// Stops the daemon, gracefully if it can be, and removes the folder. Idempotent.
  public func stop() {
    let (running, token) = state.withLock { ($0.running.take(), $0.cleanup.take()) }
    if let running {
      try? running.input.close()
      let deadline = ContinuousClock.now + .seconds(options.stopSeconds)
      while running.process.isRunning, ContinuousClock.now < deadline { usleep(2_000) }
      if running.process.isRunning { Foundation.kill(running.process.processIdentifier, SIGKILL) }
      running.process.waitUntilExit()
    }
    if let token {
      try? FileManager.default.removeItem(atPath: folder)
      ExitCleanup.remove(token)
    }
  }

  // MARK: Starting

  private func waitUntilReady(_ process: Process) throws(ToolError) {
    let deadline = ContinuousClock.now + .seconds(options.startSeconds)
    while ContinuousClock.now < deadline {
      if Self.answers(socketPath) { return }
      guard process.isRunning else {
        throw ToolError(
          "lagoond ended with code \(process.terminationStatus) before it was ready\(logTail())")
      }
      usleep(5_000)
    }
    throw ToolError("lagoond was not ready after \(Units.seconds(options.startSeconds))\(logTail())")
  }

  /// Whether somebody accepts connections at the path.
  private static func answers(_ path: String) -> Bool {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return false }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    return withUnsafePointer(to: address) { pointer in
      // sockaddr_un is what AF_UNIX has behind a sockaddr pointer.
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
      }
    }
  }

  private func openLog() throws(ToolError) -> FileHandle {
    let descriptor = open(logPath, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else {
      throw ToolError("cannot create \(logPath): \(String(cString: strerror(errno)))")
    }
    return FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
  }

  /// The last lines of the daemon's log, ready to be put behind a message.
  private func logTail() -> String {
    guard let data = FileManager.default.contents(atPath: logPath), !data.isEmpty else {
      return "; its log is empty"
    }
    let lines = String(decoding: data.suffix(8192), as: UTF8.self).split(separator: "\n").suffix(20)
    return "; its log ends with\n" + lines.map { "  \($0)" }.joined(separator: "\n")
  }

  /// Where daemons have their temporary folders. A socket's path has at most 107 bytes; a long $TMPDIR leaves no room.
  public static var temporaryBase: String {
    ProcessInfo.processInfo.environment["TMPDIR"].flatMap { $0.utf8.count < 60 ? $0 : nil } ?? "/tmp"
  }

  private static func makeTemporaryFolder() throws(ToolError) -> String {
    let base = temporaryBase
    var template = Array((base + "/lagoon-XXXXXX").utf8CString)
    let made = template.withUnsafeMutableBufferPointer { $0.baseAddress.flatMap { mkdtemp($0) } != nil }
    guard made else {
      throw ToolError("cannot make a temporary folder in \(base): \(String(cString: strerror(errno)))")
    }
    return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// A program of this project: `$LAGOON_BIN` (the program, or the folder with it), else beside the running one.
  public static func findExecutable(_ name: String) throws(ToolError) -> String {
    var candidates: [String] = []
    if let given = ProcessInfo.processInfo.environment["LAGOON_BIN"], !given.isEmpty {
      candidates = [given + "/" + name, given]
    } else if let own = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") {
      candidates = [(own as NSString).deletingLastPathComponent + "/" + name]
    }
    for candidate in candidates {
      var isFolder: ObjCBool = false
      if FileManager.default.fileExists(atPath: candidate, isDirectory: &isFolder), !isFolder.boolValue,
        FileManager.default.isExecutableFile(atPath: candidate)
      {
        return candidate
      }
    }
    throw ToolError(
      "\(name) was not found at \(candidates.first ?? name); "
        + "start a daemon yourself and pass --socket, or set LAGOON_BIN to its folder")
  }
}
