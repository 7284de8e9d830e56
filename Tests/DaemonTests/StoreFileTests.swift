import Foundation
import Glibc
import KVStore
import Testing

/// The data file as a daemon finds it when it starts.
@Suite struct StoreFileTests {
  let folder: TemporaryFolder
  let text = SyntheticText(seed: 51)

  init() throws { folder = try TemporaryFolder() }

  private var dataFile: String { folder("store/data.mdb") }

  private func write(_ bytes: Data, to file: String) throws {
    try bytes.write(to: URL(fileURLWithPath: file))
  }

  /// It is not begun anew, as LMDB would: the sessions that it held would be gone without a word.
  @Test func anEmptiedOneIsRefused() throws {
    var daemon = try DaemonProcess.serving(folder)
    try text.expectRightAnswers(daemon.connect().createSession(text.parameters(name: "s")), tokens: 10)
    daemon.send(SIGTERM)
    #expect(daemon.waitForExit().status == 0)
    let whole = try Data(contentsOf: URL(fileURLWithPath: dataFile))
    try write(Data(), to: dataFile)

    daemon = try DaemonProcess(
      ["--store", folder("store"), "--socket", folder("socket")], socketPath: folder("socket"))
    let (status, log) = daemon.waitForExit()
    #expect(status == EX_CANTCREAT)
    #expect(log.contains("\(dataFile) has 0 bytes: something emptied it"), "\(log)")
    let failure = #expect(throws: StoreError.self) { _ = try KVStore.openReadOnly(path: folder("store")) }
    #expect(failure?.code == .corrupt)
    #expect(failure?.message.contains("has 0 bytes") == true)
    #expect(try Data(contentsOf: URL(fileURLWithPath: dataFile)).isEmpty)

    // Both ways out that the message names.
    try write(whole, to: dataFile)
    daemon = try DaemonProcess.serving(folder)
    #expect(try daemon.connect().listSessions().map(\.tokens) == [10])
    daemon.killHard()
    try FileManager.default.removeItem(atPath: dataFile)
    daemon = try DaemonProcess.serving(folder)
    #expect(try daemon.connect().listSessions().isEmpty)
  }

  /// Whatever a start that was cut off left of a new store, the next one makes it.
  @Test(arguments: [0, 100, 4096, 8192]) func anUnfinishedOneIsMadeAgain(bytes: Int) throws {
    try FileManager.default.createDirectory(
      atPath: folder("store"), withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
    try write(Data(repeating: 7, count: bytes), to: dataFile + ".new")
    let daemon = try DaemonProcess.serving(folder)
    try text.expectRightAnswers(daemon.connect().createSession(text.parameters(name: "s")), tokens: 10)
    #expect(!FileManager.default.fileExists(atPath: dataFile + ".new"))
  }
}
