import Glibc
import LagoonProtocol
import Patience
import SwiftProtobuf

/// Sends requests and receives their replies, one at a time.
///
/// Any failure but a typed reply leaves the stream at an unknown place, so it ends the connection: later calls throw
/// `connectionLost`.
final class Exchange {
  private let socket: FrameSocket
  private var patience = Patience()
  private var messages = MappedBuffer()
  private var nextRequest: UInt64 = 1
  private var connectionID: UInt64 = 0
  /// Of what the daemon may send.
  private let limits = FrameLimits(messageBytes: 64 << 20, tensorBytes: 1 << 40)
  /// Of what the daemon takes.
  private var messageLimit = 1 << 20
  private var lost: LagoonError?
  /// Tensor bytes of the last reply that are still in the socket.
  private(set) var pendingTensorBytes = 0
  /// Handles whose objects are gone; closed before the next call, because a `deinit` must not wait for a daemon.
  private var abandoned: [WireRequest.OneOf_Call] = []

  init(connectingTo path: String) throws(LagoonError) {
    do throws(SystemError) {
      socket = try FrameSocket(connectingTo: path)
    } catch {
      var failure = LagoonError(.cannotConnect, "no lagoond answers on \(path): \(error)")
      failure.systemCode = Int(error.code)
      throw failure
    }
    // Who made the socket sees everything sent over it.
    guard let user = try? socket.peer.user, user == geteuid() || user == 0 || geteuid() == 0 else {
      throw LagoonError(.cannotConnect, "the daemon on \(path) is another user's")
    }
  }

  func introduced(as connectionID: UInt64, messageLimit: Int) {
    self.connectionID = connectionID
    self.messageLimit = messageLimit
  }

  func abandon(_ call: WireRequest.OneOf_Call) { abandoned.append(call) }

  /// Sends `call` with `tensors` behind it and receives the reply's message. Its tensor bytes, if any, are the caller's to
  /// receive (``receiveTensors(into:)``), before the next call.
  func call(
    _ call: WireRequest.OneOf_Call, tensors: [UnsafeRawBufferPointer] = []
  ) throws(LagoonError) -> WireReply {
    var descriptor: Int32 = -1
    let reply = try self.call(call, tensors: tensors, descriptor: &descriptor)
    if descriptor >= 0 { close(descriptor) }
    return reply
  }

  /// As ``call(_:tensors:)``, and takes a descriptor that comes with the reply.
  func call(
    _ call: WireRequest.OneOf_Call, tensors: [UnsafeRawBufferPointer] = [], descriptor: inout Int32
  ) throws(LagoonError) -> WireReply {
    while lost == nil, let closing = abandoned.popLast() {
      _ = try send(closing, [])
      // Whatever the answer is, the handle is gone.
      _ = try receive(&descriptor)
    }
    let request = try send(call, tensors)
    let (reply, header) = try receive(&descriptor)
    if case .error(let failure)? = reply.result {
      let failure = LagoonError(failure, requestID: header.requestID, connectionID: connectionID)
      // A failure that belongs to another request than ours, or to none, is the connection's and its last word.
      if header.requestID != request || failure.code == .badFrame { lost = lost ?? failure }
      guard header.tensorBytes == 0 else { throw lose("an error came with tensors") }
      throw failure
    }
    guard header.requestID == request else {
      throw lose("the answer to request \(header.requestID) came when \(request)'s was due")
    }
    pendingTensorBytes = header.tensorBytes
    return reply
  }

  /// Receives the reply's next tensor bytes, filling `buffer`.
  func receiveTensors(into buffer: UnsafeMutableRawBufferPointer) throws(LagoonError) {
    guard buffer.count <= pendingTensorBytes else {
      throw lose("the reply carries \(pendingTensorBytes) tensor bytes where \(buffer.count) were due")
    }
    do throws(SystemError) {
      guard try socket.receive(into: buffer) == buffer.count else { throw SystemError(ECONNRESET) }
      pendingTensorBytes -= buffer.count
    } catch {
      throw lose("the connection ended inside a reply: \(error)", error)
    }
  }

  /// The daemon answered with another message than the call's.
  func unexpectedReply(_ call: String) -> LagoonError { lose("the answer to \(call) is of another kind") }

  // MARK: Frames

  private func send(
    _ call: WireRequest.OneOf_Call, _ tensors: [UnsafeRawBufferPointer]
  ) throws(LagoonError) -> UInt64 {
    if let lost { throw LagoonError(.connectionLost, "the connection is lost: \(lost.message)") }
    guard pendingTensorBytes == 0 else {
      throw lose("\(pendingTensorBytes) tensor bytes came that nobody expected")
    }
    let request = nextRequest
    nextRequest += 1
    var message = WireRequest()
    message.call = call
    let bytes: [UInt8]
    do {
      bytes = try message.serializedBytes()
    } catch {
      throw LagoonError(.badMessage, "the request cannot be encoded: \(error)")
    }
    guard bytes.count <= messageLimit else {
      throw LagoonError(
        .tooLarge, "the request's message has \(bytes.count) bytes, and the daemon takes \(messageLimit)")
    }
    do throws(SystemError) {
      try socket.send(requestID: request, message: bytes, tensors: tensors)
    } catch {
      // The daemon may have said why before it hung up.
      guard error.code == EPIPE || error.code == ECONNRESET else {
        throw lose("sending failed: \(error)", error)
      }
    }
    return request
  }

  private func receive(_ descriptor: inout Int32) throws(LagoonError) -> (WireReply, FrameHeader) {
    let header: FrameHeader
    let start = UnsafeRawBufferPointer(try fill(FrameHeader.byteCount, isFirst: true, &descriptor))
    do throws(FrameError) {
      header = try FrameHeader(decoding: start, limits: limits)
    } catch {
      throw lose("the daemon's frame is malformed: \(error)")
    }
    let bytes = try fill(header.messageBytes, isFirst: false, &descriptor)
    do {
      return (try WireReply(serializedBytes: UnsafeRawBufferPointer(bytes).bytes), header)
    } catch {
      throw lose("the daemon's message is malformed: \(error)")
    }
  }

  /// The next `bytes` bytes of the stream, in ``messages``.
  ///
  /// - Parameter isFirst: the daemon may still be at work on them.
  private func fill(
    _ bytes: Int, isFirst: Bool, _ descriptor: inout Int32
  ) throws(LagoonError) -> UnsafeMutableRawBufferPointer {
    do throws(SystemError) {
      let buffer = try messages.reserve(bytes)
      let received =
        if isFirst {
          try socket.wait(with: &patience) { () throws(SystemError) in
            try socket.receive(into: buffer, passed: &descriptor)
          }
        } else {
          try socket.receive(into: buffer, passed: &descriptor)
        }
      guard received == bytes else { throw SystemError(ECONNRESET) }
      return buffer
    } catch {
      throw lose("the daemon closed the connection: \(error)", error)
    }
  }

  func lose(_ message: String, _ cause: SystemError? = nil) -> LagoonError {
    var failure = LagoonError(.connectionLost, message, connectionID: connectionID)
    failure.systemCode = cause.map { Int($0.code) }
    if lost == nil { lost = failure }
    return failure
  }
}
