import Foundation
import Testing
import ToolSupport

/// What happens around the daemon's process, with scripts in its place.
@Suite struct PrivateDaemonTests {
  /// Runs `body` with the path of an executable shell script.
  private func withScript<Result>(_ text: String, _ body: (String) throws -> Result) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
      "lagoon-script-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let path = folder.appendingPathComponent("script").path
    try Data("#!/bin/sh\n\(text)\n".utf8).write(to: URL(fileURLWithPath: path))
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
    return try body(path)
  }

  /// The message of the error that starting this script gives.
  private func failure(_ script: String, startSeconds: Double) throws -> String {
    try withScript(script) { path in
      var options = PrivateDaemon.Options()
      options.executable = path
      options.startSeconds = startSeconds
      options.stopSeconds = 1
      let error = #expect(throws: ToolError.self) { try PrivateDaemon(options) }
      return error?.message ?? ""
    }
  }

  @Test func anEarlyDeathShowsCodeAndLog() throws {
    let message = try failure("echo 'the store is locked' >&2; exit 3", startSeconds: 20)
    #expect(message.contains("code 3"))
    #expect(message.contains("the store is locked"))
  }

  @Test func theWaitIsBoundedAndTheFolderGone() throws {
    let message = try failure("echo \"folder $2\" >&2; cat > /dev/null", startSeconds: 2)
    #expect(message.contains("not ready after 2.0 s"))
    let store = try #require(message.split(separator: " ").last.map(String.init))
    #expect(store.hasSuffix("/store"))
    #expect(!FileManager.default.fileExists(atPath: (store as NSString).deletingLastPathComponent))
  }

  /// A script that serves nothing but has a socket is ready; its end is the end of its standard input.
  @Test(
    .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/python3"), "needs /usr/bin/python3"))
  func theDaemonEndsWithItsInput() throws {
    let python = "exec /usr/bin/python3 -c \"$PROGRAM\" \"$@\""
    let program = """
      import os, socket, sys
      place = sys.argv[sys.argv.index('--socket') + 1]
      assert os.stat(os.path.dirname(place)).st_mode & 0o777 == 0o700
      assert '--stop-at-eof' in sys.argv and sys.argv[sys.argv.index('--durability') + 1] == 'process'
      s = socket.socket(socket.AF_UNIX); s.bind(place); s.listen(); sys.stdin.read()
      """
    try withScript("PROGRAM=\"\(program.replacingOccurrences(of: "\"", with: "\\\""))\"\n\(python)") { path in
      var options = PrivateDaemon.Options()
      options.executable = path
      let daemon = try PrivateDaemon(options)
      let process = try #require(daemon.processIdentifier)
      #expect(kill(process, 0) == 0)
      daemon.kill()
      #expect(daemon.processIdentifier == nil)
      #expect(FileManager.default.fileExists(atPath: daemon.folder))
      try daemon.start()
      let second = try #require(daemon.processIdentifier)
      #expect(second != process)
      daemon.stop()
      #expect(kill(second, 0) != 0)
      #expect(!FileManager.default.fileExists(atPath: daemon.folder))
      daemon.stop()
    }
  }

  @Test func aMissingProgramIsSaidWithWhatToDo() throws {
    let error = #expect(throws: ToolError.self) { try PrivateDaemon.findExecutable("no-such-lagoond") }
    #expect(error?.message.contains("no-such-lagoond") == true)
    #expect(error?.message.contains("--socket") == true)
  }
}
