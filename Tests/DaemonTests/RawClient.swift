import Glibc
import LagoonProtocol
import SwiftProtobuf
import Testing

/// A client that sends what it likes, byte for byte.
final class RawClient {
  private let socket: FrameSocket

  init(socketPath: String) throws {
    socket = try FrameSocket(connectingTo: socketPath)
  }

  func send(_ bytes: [UInt8]) {
    var sent = 0
    while sent < bytes.count {
      let count = bytes[sent...].withUnsafeBytes {
        Glibc.send(socket.number, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      // The daemon may have hung up; what it answered is what counts.
      guard count > 0 else { return }
      sent += count
    }
  }

  /// Sends a header as it stands, whatever follows it.
  func send(
    magic: UInt32 = FrameHeader.magic, version: UInt16 = 1, flags: UInt16 = 0, requestID: UInt64,
    messageBytes: UInt32,
    reserved: UInt32 = 0, tensorBytes: UInt64 = 0
  ) {
    var bytes: [UInt8] = []
    func append(_ value: some FixedWidthInteger) {
      withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }
    append(magic)
    append(version)
    append(flags)
    append(requestID)
    append(messageBytes)
    append(reserved)
    append(tensorBytes)
    send(bytes)
  }

  func send(_ call: WireRequest.OneOf_Call, requestID: UInt64, tensors: [UInt8] = []) throws {
    var request = WireRequest()
    request.call = call
    try send(message: request.serializedBytes(), requestID: requestID, tensors: tensors)
  }

  func send(message: [UInt8], requestID: UInt64, tensors: [UInt8] = []) throws {
    send(requestID: requestID, messageBytes: UInt32(message.count), tensorBytes: UInt64(tensors.count))
    send(message)
    send(tensors)
  }

  struct Received {
    var requestID: UInt64
    var reply: WireReply
    var tensors: [UInt8]

    var failure: WireErrorCode? {
      if case .error(let failure)? = reply.result { return failure.code }
      return nil
    }
  }

  /// The next reply, or nil at the end of the stream. Fails the test after 10 s.
  func receive() throws -> Received? {
    guard let header = try bytes(FrameHeader.byteCount) else { return nil }
    let decoded = try header.withUnsafeBytes { try FrameHeader(decoding: $0, limits: .standard) }
    let message = try #require(try bytes(decoded.messageBytes))
    let tensors = try #require(try bytes(decoded.tensorBytes))
    return Received(
      requestID: decoded.requestID, reply: try WireReply(serializedBytes: message), tensors: tensors)
  }

  private func bytes(_ count: Int) throws -> [UInt8]? {
    var buffer = [UInt8](repeating: 0, count: count)
    let received = try buffer.withUnsafeMutableBytes { try socket.receive(into: $0, timeout: 10_000) }
    if received == 0, count > 0 { return nil }
    try #require(received == count, "a reply was cut off")
    return buffer
  }

  func call(_ call: WireRequest.OneOf_Call, requestID: UInt64 = 7, tensors: [UInt8] = []) throws -> Received {
    try send(call, requestID: requestID, tensors: tensors)
    let received = try #require(try receive())
    #expect(received.requestID == requestID)
    return received
  }

  func hello() throws {
    var hello = WireHello()
    hello.protocolVersion = 1
    hello.clientName = "raw"
    guard case .hello? = try call(.hello(hello), requestID: 1).reply.result else {
      Issue.record("hello was refused")
      return
    }
  }

  /// Sends no more; what is on its way still arrives.
  func finishSending() { shutdown(socket.number, Int32(SHUT_WR)) }

  /// Nothing but the end of the stream is left to receive.
  func expectEnd(sourceLocation: SourceLocation = #_sourceLocation) throws {
    do {
      #expect(try receive() == nil, sourceLocation: sourceLocation)
    } catch let error as SystemError {
      #expect(error.code == ECONNRESET, sourceLocation: sourceLocation)
    }
  }
}

extension RawClient.Received: Equatable {
  static func == (a: RawClient.Received, b: RawClient.Received) -> Bool {
    a.requestID == b.requestID && a.reply == b.reply && a.tensors == b.tensors
  }
}
