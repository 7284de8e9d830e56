import Glibc
import LagoonProtocol
import Testing

@Suite struct SocketTests {
  /// Two ends of a connection.
  struct Pair: ~Copyable {
    let a: FrameSocket
    let b: FrameSocket

    init() throws {
      var numbers: [Int32] = [0, 0]
      try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &numbers) == 0)
      a = FrameSocket(owning: Descriptor(owning: numbers[0]))
      b = FrameSocket(owning: Descriptor(owning: numbers[1]))
    }
  }

  @Test func framesArriveWhole() throws {
    let pair = try Pair()
    let message: [UInt8] = Array(0..<200)
    let tensors = [[UInt8](repeating: 1, count: 10), [], [UInt8](repeating: 2, count: 20)]
    try tensors[0].withUnsafeBytes { first in
      try tensors[1].withUnsafeBytes { second in
        try tensors[2].withUnsafeBytes { third in
          try pair.a.send(requestID: 5, message: message, tensors: [first, second, third])
        }
      }
    }
    var bytes = [UInt8](repeating: 0, count: 32 + 200 + 30)
    #expect(try bytes.withUnsafeMutableBytes { try pair.b.receive(into: $0) } == bytes.count)
    #expect(Array(bytes[..<32]) == FrameHeader(requestID: 5, messageBytes: 200, tensorBytes: 30).encoded)
    #expect(Array(bytes[32..<232]) == message)
    #expect(Array(bytes[232...]) == tensors[0] + tensors[2])
  }

  @Test func aStreamThatEndsGivesWhatCame() throws {
    let pair = try Pair()
    #expect(send(pair.a.number, [1, 2, 3] as [UInt8], 3, 0) == 3)
    shutdown(pair.a.number, Int32(SHUT_WR))
    var bytes = [UInt8](repeating: 0, count: 10)
    #expect(try bytes.withUnsafeMutableBytes { try pair.b.receive(into: $0, timeout: 1000) } == 3)
    #expect(try bytes.withUnsafeMutableBytes { try pair.b.receiveSome(into: $0) } == 0)
  }

  @Test func aSilentPeerTimesOut() throws {
    let pair = try Pair()
    #expect(send(pair.a.number, [1] as [UInt8], 1, 0) == 1)
    var bytes = [UInt8](repeating: 0, count: 10)
    #expect(throws: SystemError(ETIMEDOUT)) {
      try bytes.withUnsafeMutableBytes { try pair.b.receive(into: $0, timeout: 20) }
    }
  }

  @Test func aPeerThatReadsNothingTimesOut() throws {
    let pair = try Pair()
    let large = [UInt8](repeating: 0, count: 8 << 20)
    #expect(throws: SystemError(ETIMEDOUT)) {
      try large.withUnsafeBytes { try pair.a.send(requestID: 1, message: [], tensors: [$0], timeout: 20) }
    }
  }

  @Test func aPeerThatIsGoneIsAnErrorAndNoSignal() throws {
    let pair = try Pair()
    shutdown(pair.b.number, Int32(SHUT_RDWR))
    #expect(throws: SystemError(EPIPE)) { try pair.a.send(requestID: 1, message: [1]) }
  }

  @Test func buffersGiveLargeMemoryBack() throws {
    var buffer = MappedBuffer()
    let memory = try buffer.reserve(1 << 20)
    memory[memory.count - 1] = 9
    // Many small frames in a row shrink it; one alone does not.
    _ = try buffer.reserve(100)
    let afterOne = buffer.isLarge
    #expect(afterOne)
    for _ in 0..<40 { _ = try buffer.reserve(100) }
    let afterMany = buffer.isLarge
    #expect(!afterMany)
    let none = try buffer.reserve(0)
    #expect(none.count == 0)
  }
}
