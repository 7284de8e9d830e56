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

  private func run(_ arguments: [String]) throws -> (status: Int32, log: String) {
    try DaemonProcess(arguments + ["--socket", folder("socket")], socketPath: folder("socket")).waitForExit()
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

  /// A path that somebody chose may hold a slip: nothing is made above it.
  @Test func aStoreInNoFolderIsRefused() throws {
    let (status, log) = try run(["--store", folder("slip/of/the/pen")])
    #expect(status == EX_CANTCREAT)
    #expect(log.contains("there is no \(folder("slip")); make it first"), "\(log)")
    #expect(!FileManager.default.fileExists(atPath: folder("slip")))
  }
}
