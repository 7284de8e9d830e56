import Glibc
import LagoonDaemon
import LagoonProtocol
import TestSupport
import Testing

/// Frames that are wrong in every way: each gets a typed answer, ends at most its own connection, and disturbs nobody.
@Suite struct FrameAbuseTests {
  /// Sends something on a raw connection that said hello, expects `code` and the end of that connection, and right answers
  /// for others meanwhile and after.
  func expectBroken(
    _ code: WireErrorCode, requestID: UInt64, timeouts: DaemonConfiguration.Timeouts = .init(),
    sourceLocation: SourceLocation = #_sourceLocation, _ abuse: (RawClient) throws -> Void
  ) throws {
    let daemon = try LocalDaemon(timeouts: timeouts)
    let client = try daemon.connectRaw()
    try client.hello()
    try abuse(client)
    try daemon.expectGoodService(sourceLocation: sourceLocation)
    let received = try #require(try client.receive(), sourceLocation: sourceLocation)
    #expect(received.failure == code, sourceLocation: sourceLocation)
    #expect(received.requestID == requestID, sourceLocation: sourceLocation)
    try client.expectEnd(sourceLocation: sourceLocation)
    try daemon.expectGoodService(sourceLocation: sourceLocation)
  }

  @Test func wrongMagic() throws {
    try expectBroken(.badFrame, requestID: 0) { $0.send(magic: 0x4C47_4E31, requestID: 9, messageBytes: 0) }
  }

  @Test func wrongVersion() throws {
    try expectBroken(.unsupportedVersion, requestID: 9) { $0.send(version: 2, requestID: 9, messageBytes: 0) }
  }

  @Test func flagsSet() throws {
    try expectBroken(.badFrame, requestID: 9) { $0.send(flags: 0x8000, requestID: 9, messageBytes: 0) }
  }

  @Test func reservedSet() throws {
    try expectBroken(.badFrame, requestID: 9) { $0.send(requestID: 9, messageBytes: 0, reserved: 1) }
  }

  @Test(arguments: [UInt32(1 << 20) + 1, 0x8000_0000, .max])
  func messageTooLong(bytes: UInt32) throws {
    try expectBroken(.badFrame, requestID: 9) { $0.send(requestID: 9, messageBytes: bytes) }
  }

  @Test(arguments: [UInt64(64 << 20) + 1, 1 << 63, .max])
  func tensorsTooLong(bytes: UInt64) throws {
    try expectBroken(.badFrame, requestID: 9) { $0.send(requestID: 9, messageBytes: 0, tensorBytes: bytes) }
  }

  @Test func truncatedHeader() throws {
    try expectBroken(.badFrame, requestID: 0) {
      $0.send(Array(FrameHeader(requestID: 9, messageBytes: 0, tensorBytes: 0).encoded.prefix(31)))
      $0.finishSending()
    }
  }

  @Test func truncatedMessage() throws {
    try expectBroken(.badFrame, requestID: 9) {
      $0.send(requestID: 9, messageBytes: 100)
      $0.send([UInt8](repeating: 0, count: 99))
      $0.finishSending()
    }
  }

  @Test func truncatedTensors() throws {
    try expectBroken(.badFrame, requestID: 9) {
      $0.send(requestID: 9, messageBytes: 0, tensorBytes: 1 << 20)
      $0.send([UInt8](repeating: 0, count: 1000))
      $0.finishSending()
    }
  }

  @Test(arguments: [1, 40])
  func aFrameThatStops(after bytes: Int) throws {
    var timeouts = DaemonConfiguration.Timeouts()
    timeouts.receive = 300
    try expectBroken(.badFrame, requestID: bytes < 32 ? 0 : 9, timeouts: timeouts) {
      let frame =
        FrameHeader(requestID: 9, messageBytes: 100, tensorBytes: 0).encoded
        + [UInt8](repeating: 0, count: 100)
      $0.send(Array(frame.prefix(bytes)))
    }
  }

  @Test func anIdleConnectionStays() throws {
    var timeouts = DaemonConfiguration.Timeouts()
    timeouts.receive = 50
    timeouts.idle = 50
    let daemon = try LocalDaemon(timeouts: timeouts)
    let connection = try daemon.connect()
    usleep(300_000)
    #expect(try connection.listSessions().isEmpty)
  }

  /// Messages that are no request: answered, and the connection goes on.
  @Test func garbageMessages() throws {
    let daemon = try LocalDaemon()
    let client = try daemon.connectRaw()
    try client.hello()
    let garbage: [[UInt8]] = [
      [], [0xFF], [UInt8](repeating: 0xFF, count: 1000), [0x0A, 0x80], [0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F],
      [0xF8, 0x07, 1], [0x12, 2, 8],
    ]
    for (index, message) in garbage.enumerated() {
      try client.send(message: message, requestID: UInt64(100 + index), tensors: [1, 2, 3])
      let received = try #require(try client.receive())
      #expect(received.failure == .badMessage, "message \(index)")
      #expect(received.requestID == UInt64(100 + index))
    }
    guard case .sessions? = try client.call(.listSessions(.init())).reply.result else {
      Issue.record("the connection did not go on")
      return
    }
    try daemon.expectGoodService()
  }

  @Test func aHundredRequestsInOneWriteAreAnsweredInOrder() throws {
    let daemon = try LocalDaemon()
    let client = try daemon.connectRaw()
    try client.hello()
    var bytes: [UInt8] = []
    for index in 0..<100 {
      var request = WireRequest()
      switch index % 3 {
      case 0: request.call = .listSessions(.init())
      case 1: request.call = .stats(.init())
      default:
        var call = WireDescribeSession()
        call.name = "nobody"
        request.call = .describeSession(call)
      }
      let message: [UInt8] = try request.serializedBytes()
      bytes +=
        FrameHeader(requestID: UInt64(1000 - index), messageBytes: message.count, tensorBytes: 0).encoded
        + message
    }
    client.send(bytes)
    for index in 0..<100 {
      let received = try #require(try client.receive())
      #expect(received.requestID == UInt64(1000 - index))
      switch (index % 3, received.reply.result) {
      case (0, .sessions), (1, .stats): break
      case (2, .error(let failure)): #expect(failure.code == .notFound)
      default: Issue.record("request \(index) got another's answer")
      }
    }
  }

  /// Random bytes, and valid frames with random damage. The daemon lives, answers or hangs up, and serves others.
  @Test func randomBytes() throws {
    let daemon = try LocalDaemon()
    var generator = SeededGenerator(20_250_101)
    for round in 0..<200 {
      let client = try daemon.connectRaw()
      var bytes: [UInt8]
      if round % 2 == 0 {
        bytes = (0..<Int.random(in: 1...300, using: &generator)).map { _ in
          .random(in: 0...255, using: &generator)
        }
      } else {
        var hello = WireRequest()
        hello.hello.protocolVersion = 1
        hello.hello.clientName = "fuzz"
        let message: [UInt8] = try hello.serializedBytes()
        let frame = FrameHeader(requestID: 1, messageBytes: message.count, tensorBytes: 0).encoded + message
        bytes = frame + frame + frame
        for _ in 0..<Int.random(in: 1...4, using: &generator) {
          bytes[Int.random(in: 0..<bytes.count, using: &generator)] = .random(in: 0...255, using: &generator)
        }
      }
      client.send(bytes)
      client.finishSending()
      while (try? client.receive()) != nil {}
    }
    try daemon.expectGoodService()
  }
}
