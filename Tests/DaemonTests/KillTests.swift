import Foundation
import Glibc
import LagoonClient
import Synchronization
import TestSupport
import Testing

/// A long session streamed into a real daemon that is killed again and again: nothing acknowledged is lost, what is kept is
/// what an undisturbed run keeps, and the daemon's own memory does not grow with the session.
@Suite(.serialized) struct KillTests {
  @Test func shortSessionSurvivesThreeKills() throws { try compare(tokens: 20_000, kills: 3) }

  @Test(
    .enabled(if: longTests, "long: make test-long"),
    .timeLimit(.minutes(10)))
  func aMillionTokensSurviveTwentyKills() throws { try compare(tokens: 1_000_000, kills: 20) }

  private func compare(tokens: Int, kills: Int) throws {
    let stream = SyntheticStream(tokens: tokens)
    let undisturbed = try undisturbedRun(stream)
    var generator = SeededGenerator(UInt64(tokens))
    let moments = (0..<kills).map { _ in
      Double.random(in: 0...1.5 * undisturbed.seconds / Double(kills), using: &generator)
    }
    let killed = try killedRun(stream, moments)
    #expect(killed == undisturbed.kept)
  }

  private func undisturbedRun(_ stream: SyntheticStream) throws -> (kept: [KeptRows], seconds: Double) {
    let folder = try TemporaryFolder()
    let daemon = try DaemonProcess.serving(folder, ["--quota", "8GiB"])
    let connection = try daemon.connect(arenaBytes: 1 << 20)
    let session = try connection.createSession(stream.parameters)
    let start = Date()
    try session.begin(capacity: SyntheticStream.chunk)
    var early = 0
    for chunk in stream.chunks(from: 0) {
      try stream.write(chunk, to: session)
      if chunk.upperBound == 10_000 { early = try anonymousMemory(daemon) }
    }
    let seconds = Date().timeIntervalSince(start)
    let late = try anonymousMemory(daemon)
    print(
      "\(stream.tokens) tokens in \(seconds) s; RssAnon at 10,000 tokens \(early) KiB, at the end \(late) KiB"
    )
    if ProcessInfo.processInfo.environment["LAGOON_SANITIZER"] != nil {
      print("anonymous memory not compared: a sanitizer keeps freed memory")
    } else {
      #expect(abs(Double(late - early)) <= 0.1 * Double(early), "from \(early) to \(late) KiB")
    }
    return (try stream.kept(session), seconds)
  }

  /// - Parameter moments: seconds from a start of the daemon to its death.
  private func killedRun(_ stream: SyntheticStream, _ moments: [Double]) throws -> [KeptRows] {
    let folder = try TemporaryFolder()
    var acknowledged = 0
    for moment in moments {
      let daemon = try DaemonProcess.serving(folder, ["--quota", "8GiB"])
      let process = daemon.processID
      let killer = Thread {
        Thread.sleep(forTimeInterval: moment)
        kill(process, SIGKILL)
      }
      killer.start()
      do {
        try write(stream, to: daemon, acknowledged: &acknowledged)
        // It was done before its time.
        daemon.process.waitUntilExit()
      } catch let error as LagoonError {
        #expect([.connectionLost, .cannotConnect].contains(error.code), "\(error)")
        daemon.process.waitUntilExit()
      }
    }
    let daemon = try DaemonProcess.serving(folder, ["--quota", "8GiB"])
    try write(stream, to: daemon, acknowledged: &acknowledged)
    #expect(acknowledged == stream.tokens)
    let connection = try daemon.connect()
    #expect(try connection.verify().damage.isEmpty)
    return try stream.kept(try connection.openSession(stream.parameters.name))
  }

  /// Streams the rest of the session, from where it stands.
  private func write(
    _ stream: SyntheticStream, to daemon: DaemonProcess, acknowledged: inout Int
  ) throws {
    let connection = try daemon.connect(arenaBytes: 1 << 20)
    let exists = try connection.listSessions().contains { $0.name == stream.parameters.name }
    let session =
      try exists
      ? connection.openSession(stream.parameters.name) : connection.createSession(stream.parameters)
    let tokens = session.info.tokens
    #expect(tokens >= acknowledged, "an acknowledged commit is lost")
    #expect(tokens <= acknowledged + SyntheticStream.chunk)
    #expect(tokens % SyntheticStream.chunk == 0)
    #expect(session.info.tokenHash == TokenHash.extend(TokenHash.empty, with: (0..<tokens).map(UInt32.init)))
    acknowledged = tokens
    guard tokens < stream.tokens else { return }
    try session.begin(capacity: SyntheticStream.chunk)
    for chunk in stream.chunks(from: tokens) {
      try stream.write(chunk, to: session)
      acknowledged = chunk.upperBound
    }
  }

  /// `RssAnon` of the daemon, in KiB.
  private func anonymousMemory(_ daemon: DaemonProcess) throws -> Int {
    let status = try String(contentsOfFile: "/proc/\(daemon.processID)/status", encoding: .utf8)
    let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("RssAnon:") })
    return try #require(Int(line.filter(\.isNumber)))
  }
}

/// What one layer holds.
private struct KeptRows: Equatable {
  let positions: [UInt32]
  let keys: [UInt8]
}

/// Seeded bf16 rows of a session as long as one likes: slices of one pool of random numbers, so that making them costs nothing.
private struct SyntheticStream {
  static let chunk = 500
  let tokens: Int
  private let pool: [UInt16]
  let parameters = SessionParameters(
    name: "stream", layers: 4, kvHeads: 2, headDim: 64, elementType: .bfloat16, sinks: 16, lag: 128,
    ratio: 0.25)

  init(tokens: Int) {
    self.tokens = tokens
    var generator = SeededGenerator(4)
    pool = (0..<1 << 21).map { _ in
      // bf16 in ±[0.5, 1): sign and mantissa random.
      let bits = UInt16(truncatingIfNeeded: generator.next())
      return bits & 0x807F | 0x3F00
    }
  }

  func chunks(from first: Int) -> [Range<Int>] {
    stride(from: first, to: tokens, by: Self.chunk).map { $0..<min($0 + Self.chunk, tokens) }
  }

  func write(_ chunk: Range<Int>, to session: RemoteSession) throws {
    let elements = chunk.count * parameters.kvHeads * parameters.headDim
    try pool.withUnsafeBytes { bytes in
      for layer in 0..<parameters.layers {
        func rows(_ kind: Int) -> HostTensor {
          let place =
            ((chunk.lowerBound / Self.chunk * 8 + layer * 2 + kind) &* 40_503) % (pool.count - elements)
          return HostTensor(
            borrowing: UnsafeRawBufferPointer(rebasing: bytes[place * 2..<(place + elements) * 2]),
            elementType: .bfloat16, tokens: chunk.count, heads: parameters.kvHeads,
            headDim: parameters.headDim)
        }
        try session.append(layer: layer, keys: rows(0), values: rows(1))
      }
    }
    try session.commit(tokenIDs: chunk.map { UInt32($0) }, keepWriting: true)
  }

  func kept(_ session: RemoteSession) throws -> [KeptRows] {
    try (0..<parameters.layers).map { layer in
      let rows = try session.fetch(layer: layer)
      #expect(rows.tokens == tokens)
      return KeptRows(positions: rows.positions, keys: rows.keys)
    }
  }
}
