import Foundation
import Glibc
import Testing

/// Where `lagoond` puts a store, and how it ends where it cannot.
@Suite struct StartTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Starts `lagoond` with no option but its socket, and ends it once it serves.
  private func serve(_ environment: [String: String]) throws {
    let daemon = try DaemonProcess(
      ["--socket", folder("socket")], socketPath: folder("socket"), environment: environment)
    try daemon.waitUntilServing()
    daemon.send(SIGTERM)
    #expect(daemon.waitForExit().status == 0)
  }

  /// Runs `lagoond` to its end.
  private func run(
    _ arguments: [String], through launcher: [String] = []
  ) throws -> (status: Int32, log: String) {
    try DaemonProcess(
      arguments + ["--socket", folder("socket")], socketPath: folder("socket"), through: launcher
    ).waitForExit()
  }

  /// Of a new user: not even the folders above are there.
  @Test func theDefaultStoreIsMadeWithItsParents() throws {
    try serve(["XDG_DATA_HOME": folder("new/user/data")])
    for path in ["new", "new/user", "new/user/data", "new/user/data/lagoon"] {
      var status = stat()
      #expect(stat(folder(path), &status) == 0)
      #expect(status.st_mode & 0o777 == 0o700, "\(path)")
    }
    #expect(FileManager.default.fileExists(atPath: folder("new/user/data/lagoon/data.mdb")))
  }

  @Test func homeIsWhatTheEnvironmentSays() throws {
    try serve(["XDG_DATA_HOME": "", "HOME": folder("home")])
    #expect(FileManager.default.fileExists(atPath: folder("home/.local/share/lagoon/data.mdb")))
  }

  /// No file and no socket gets the number of a standard descriptor that is closed: what is logged would be written into it.
  @Test func closedDescriptorsLeadNowhere() throws {
    let daemon = try DaemonProcess(
      ["--store", folder("store"), "--socket", folder("socket")], socketPath: folder("socket"),
      through: ["/bin/sh", "-c", "exec \"$0\" \"$@\" <&- >&- 2>&-"])
    try daemon.waitUntilServing()
    for number in 0...2 {
      let place = "/proc/\(daemon.process.processIdentifier)/fd/\(number)"
      #expect(try FileManager.default.destinationOfSymbolicLink(atPath: place) == "/dev/null")
    }
    daemon.send(SIGTERM)
    #expect(daemon.waitForExit().status == 0)
  }

  /// A path that somebody chose may hold a slip: nothing is made above it.
  @Test func aStoreInNoFolderIsRefused() throws {
    let (status, log) = try run(["--store", folder("slip/of/the/pen")])
    #expect(status == EX_CANTCREAT)
    #expect(log.contains("there is no \(folder("slip")); make it first"), "\(log)")
    #expect(!FileManager.default.fileExists(atPath: folder("slip")))
  }

  /// What the system refuses is no bad option.
  @Test(arguments: ["file", "file/store", "file/above/store"])
  func aStoreThatCannotBeMade(path: String) throws {
    try Data("precious".utf8).write(to: URL(fileURLWithPath: folder("file")))
    let (status, log) = try run(["--store", folder(path)])
    #expect(status == EX_CANTCREAT)
    #expect(log.contains(folder(path)), "\(log)")
    #expect(try String(contentsOfFile: folder("file"), encoding: .utf8) == "precious")
  }

  /// Root may do everything, unless it gives that up.
  @Test(
    .enabled(
      if: geteuid() != 0 || FileManager.default.isExecutableFile(atPath: "/usr/bin/setpriv"),
      "needs to give up rights"))
  func aFolderWithoutPermission() throws {
    #expect(mkdir(folder("closed"), 0) == 0)
    defer { chmod(folder("closed"), 0o700) }
    let launcher =
      geteuid() == 0 ? ["/usr/bin/setpriv", "--bounding-set=-dac_override,-dac_read_search"] : []
    for store in ["closed", "closed/store"] {
      let (status, log) = try run(["--store", folder(store)], through: launcher)
      #expect(status == EX_CANTCREAT, "\(log)")
      #expect(log.contains(folder(store)) && log.contains("Permission denied"), "\(log)")
    }
  }

  /// The file is named and the key in it, not an option that nobody gave.
  @Test(arguments: ["-5", "\"1MiB\"", "0"]) func aQuotaInTheFile(quota: String) throws {
    let config = folder("config.json")
    try Data("{\"quota\": \(quota)}".utf8).write(to: URL(fileURLWithPath: config))
    let inFile = try run(["--store", folder("store"), "--config", config])
    #expect(inFile.status == EX_CONFIG)
    #expect(inFile.log.contains("\(config): \"quota\": a quota of"), "\(inFile.log)")
    // The option wins over the file, and is to blame then.
    let option = try run(["--store", folder("store"), "--config", config, "--quota", "3MiB"])
    #expect(option.status == EX_USAGE)
    #expect(option.log.contains("--quota: a quota of \(3 << 20) bytes"), "\(option.log)")
  }
}
