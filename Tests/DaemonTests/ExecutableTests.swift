import Foundation
import Glibc
import LagoonClient
import LagoonProtocol
import SwiftProtobuf
import Testing

/// `lagoond` itself, from its command line to its end.
@Suite struct ExecutableTests {
  let folder: TemporaryFolder
  let text = SyntheticText(seed: 21)

  init() throws { folder = try TemporaryFolder() }

  /// Runs `lagoond` to its end.
  func run(_ arguments: [String], environment: [String: String] = [:]) throws -> (status: Int32, log: String)
  {
    try DaemonProcess(arguments, socketPath: folder("socket"), environment: environment).waitForExit()
  }

  @Test func signalsStopItGracefully() throws {
    for signal in [SIGTERM, SIGINT] {
      let daemon = try DaemonProcess.serving(folder)
      let connection = try daemon.connect()
      let session = try connection.createSession(text.parameters(name: "signal \(signal)"))
      try text.expectRightAnswers(session, tokens: 20)
      daemon.send(signal)
      let (status, log) = daemon.waitForExit()
      #expect(status == 0, "\(log)")
      #expect(log.contains("lagoond ready on \(folder("socket"))"))
      #expect(log.contains("lagoond stopped"))
      #expect(!FileManager.default.fileExists(atPath: folder("socket")))
      #expect { _ = try connection.listSessions() } throws: { ($0 as? LagoonError)?.code == .connectionLost }
    }
    let daemon = try DaemonProcess.serving(folder)
    #expect(try daemon.connect().listSessions().map(\.tokens) == [20, 20])
  }

  /// Its operator reads of nothing wrong.
  @Test func aStopInTheMiddleOfAFrameIsNoFault() throws {
    let daemon = try DaemonProcess.serving(folder, ["--log-level", "warning"])
    let client = try RawClient(socketPath: folder("socket"))
    try client.hello()
    client.send(requestID: 9, messageBytes: 0, tensorBytes: 1000)
    client.send([1, 2, 3])
    daemon.send(SIGTERM)
    #expect(try client.receive()?.failure == .shuttingDown)
    let (status, log) = daemon.waitForExit()
    #expect(status == 0 && log.isEmpty, "\(log)")
  }

  @Test func acknowledgedCommitsSurviveKillNine() throws {
    var daemon = try DaemonProcess.serving(folder, ["--durability", "process"])
    let connection = try daemon.connect()
    let session = try connection.createSession(text.parameters(name: "s"))
    try text.expectRightAnswers(session, tokens: 33)
    try session.begin(capacity: 10)
    for layer in 0..<2 {
      try session.append(
        layer: layer, keys: text.tensor(.keys, layer: layer, tokens: 33..<40),
        values: text.tensor(.values, layer: layer, tokens: 33..<40))
    }
    daemon.killHard()
    #expect { try session.commit(tokenIDs: text.ids(33..<40)) } throws: {
      ($0 as? LagoonError)?.code == .connectionLost
    }

    // The socket's file is still there and nobody answers on it.
    #expect(FileManager.default.fileExists(atPath: folder("socket")))
    daemon = try DaemonProcess.serving(folder)
    let again = try daemon.connect()
    let hash = TokenHash.extend(TokenHash.empty, with: text.ids(0..<33))
    let reopened = try again.openSession("s", prefix: (33, hash))
    #expect(reopened.info.tokens == 33)
    #expect(!reopened.info.hasWriter)
    let result = try reopened.attend(layer: 1, queries: text.tensor(.queries, layer: 1, tokens: 32..<33))
    try text.expect(result, layer: 1, tokens: 32..<33)
    #expect(try again.verify().damage.isEmpty)
  }

  @Test func theShutdownCallStopsIt() throws {
    let daemon = try DaemonProcess.serving(folder)
    try daemon.connect().shutdown()
    #expect(daemon.waitForExit().status == 0)
  }

  @Test func theEndOfInputStopsItIfAsked() throws {
    let daemon = try DaemonProcess.serving(folder, ["--stop-at-eof"])
    try daemon.closeInput()
    #expect(daemon.waitForExit().status == 0)
    let other = try DaemonProcess.serving(folder)
    try other.closeInput()
    usleep(200_000)
    #expect(try other.connect().listSessions().isEmpty)
  }

  @Test func oneDaemonPerSocketAndPerStore() throws {
    let daemon = try DaemonProcess.serving(folder)
    let sameSocket = try run(["--store", folder("other"), "--socket", folder("socket")])
    #expect(sameSocket.status == EX_UNAVAILABLE)
    #expect(sameSocket.log.contains("another daemon serves on \(folder("socket"))"))
    let sameStore = try run(["--store", folder("store"), "--socket", folder("other.sock")])
    #expect(sameStore.status == EX_TEMPFAIL)
    #expect(sameStore.log.contains("is in use"))
    // Neither disturbed the first.
    let session = try daemon.connect().createSession(text.parameters(name: "s"))
    try text.expectRightAnswers(session, tokens: 10)
  }

  @Test func badSocketPathsAreNamed() throws {
    let long = folder(String(repeating: "x", count: 120))
    let tooLong = try run(["--store", folder("store"), "--socket", long])
    #expect(tooLong.status == EX_CANTCREAT)
    #expect(tooLong.log.contains("at most 107"))
    try Data("precious".utf8).write(to: URL(fileURLWithPath: folder("file")))
    let file = try run(["--store", folder("store"), "--socket", folder("file")])
    #expect(file.status == EX_CANTCREAT)
    #expect(file.log.contains("is not a socket"))
    #expect(try String(contentsOfFile: folder("file"), encoding: .utf8) == "precious")
  }

  /// Sizes as people write them, each too small for a quota, which the error says in bytes.
  @Test(arguments: [
    ("17", 17), ("17 B", 17), ("3k", 3072), ("1KiB", 1024), ("2 kib", 2048), ("5KB", 5000), ("1M", 1 << 20),
    ("7MiB", 7 << 20), ("3mb", 3_000_000),
  ])
  func aQuotaIsASize(_ text: String, _ bytes: Int) throws {
    let (status, log) = try run(
      ["--store", folder("store"), "--socket", folder("socket"), "--quota", text])
    #expect(status == EX_USAGE)
    #expect(log.contains("a quota of \(bytes) bytes"), "\(log)")
  }

  @Test func badOptionsAreNamed() throws {
    for (option, value) in [
      ("--quota", "lots"), ("--quota", "-1"), ("--quota", "1.5.2G"), ("--quota", "5Kb5"),
      ("--quota", "9999999TiB"), ("--durability", "eternal"), ("--threads", "0"),
      ("--log-level", "loud"), ("--cold-after", "5x"), ("--cold-after", "0s"),
      ("--colour", "red"),
    ] {
      let (status, log) = try run(["--store", folder("store"), "--socket", folder("socket"), option, value])
      #expect(status == EX_USAGE, "\(option) \(value)")
      #expect(log.contains(option), "\(log)")
    }
    #expect(try run(["--version"]).log == "lagoond \(LagoonVersion.string)\n")
    let help = try run(["--help"])
    #expect(help.status == 0)
    for word in ["EXAMPLES", "--stop-at-eof", "64GiB", "EXIT CODES"] { #expect(help.log.contains(word)) }
  }

  @Test func configurationFileAndFlagsThatWin() throws {
    func write(_ json: String) throws -> String {
      try Data(json.utf8).write(to: URL(fileURLWithPath: folder("config.json")))
      return folder("config.json")
    }
    let config = try write(
      """
      {"store": "\(folder("configured"))", "socket": "\(folder("unused"))", "quota": "300MiB", "durability": "full",
       "threads": 1, "log-level": "debug", "cold-after": "2h", "stop-at-eof": true}
      """)
    let daemon = try DaemonProcess(
      ["--config", config, "--socket", folder("socket")], socketPath: folder("socket"))
    try daemon.waitUntilServing()
    let connection = try daemon.connect()
    #expect(connection.daemon.durability == "full")
    #expect(connection.daemon.limits.quotaBytes == 300 << 20)
    #expect { _ = try connection.openSession("nobody") } throws: { ($0 as? LagoonError)?.code == .notFound }
    #expect(FileManager.default.fileExists(atPath: folder("configured")))
    #expect(!FileManager.default.fileExists(atPath: folder("unused")))
    try daemon.closeInput()
    let (status, log) = daemon.waitForExit()
    #expect(status == 0)
    // At level debug the log has the failure with the ids that the client was told.
    #expect(log.contains("connection=\(connection.daemon.connectionID)"))
    #expect(log.contains("request=2"))

    for (json, word) in [
      (#"{"quotta": "1GiB"}"#, "quotta"), (#"{"quota": true}"#, "quota"), (#"{"threads": 2.5}"#, "threads"),
      (#"{"threads": 0}"#, "threads"), (#"{"stop-at-eof": 1}"#, "stop-at-eof"),
      (#"{"durability": "no"}"#, "durability"), (#"{"cold-after": "soon"}"#, "cold-after"),
      ("[]", "not a JSON object"), ("{", "JSON"),
    ] {
      let (status, log) = try run(["--config", write(json), "--socket", folder("socket")])
      #expect(status == EX_CONFIG, "\(json)")
      #expect(log.contains(word), "\(log)")
    }
    #expect(try run(["--config", folder("missing.json")]).status == EX_CONFIG)
  }

  /// The socket's mode keeps other users out; where somebody opens it up, the daemon still looks who comes.
  @Test(
    .enabled(
      if: geteuid() == 0
        && ["/usr/bin/setpriv", "/usr/bin/perl"].allSatisfy {
          FileManager.default.isExecutableFile(atPath: $0)
        },
      "needs root, to become somebody else"))
  func otherUsersAreTurnedAway() throws {
    let daemon = try DaemonProcess.serving(folder)
    #expect(chmod(folder.path, 0o755) == 0 && chmod(folder("socket"), 0o666) == 0)
    let other = Process()
    let output = Pipe()
    other.executableURL = URL(fileURLWithPath: "/usr/bin/setpriv")
    other.arguments = [
      "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/perl", "-MIO::Socket::UNIX", "-e",
      "my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die $!; local $/; print <$s>;", folder("socket"),
    ]
    other.standardOutput = output
    try other.run()
    let bytes = [UInt8](try #require(try output.fileHandleForReading.readToEnd()))
    other.waitUntilExit()
    try #require(bytes.count > 32)
    #expect(try WireReply(serializedBytes: Array(bytes[32...])).error.code == .notPermitted)
    #expect(try daemon.connect().listSessions().isEmpty)
  }

  @Test func socketAndFolderAreOursAlone() throws {
    let socket = folder("deep/er/socket")
    let daemon = try DaemonProcess(["--store", folder("store"), "--socket", socket], socketPath: socket)
    try daemon.waitUntilServing()
    func mode(_ path: String) -> mode_t {
      var status = stat()
      #expect(lstat(path, &status) == 0)
      return status.st_mode & 0o777
    }
    #expect(mode(socket) == 0o600)
    #expect(mode(folder("deep/er")) == 0o700)
    #expect(mode(folder("deep")) == 0o700)
    daemon.send(SIGTERM)
    #expect(daemon.waitForExit().status == 0)
  }
}
