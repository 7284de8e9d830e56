import CPosix
import Patience
import SwiftProtobuf

/// One end of a connection: sends and receives the parts of frames, blocking.
package struct FrameSocket: ~Copyable, Sendable {
  private let descriptor: Descriptor

  package init(owning descriptor: consuming Descriptor) { self.descriptor = descriptor }

  /// Connects to a daemon.
  package init(connectingTo path: String) throws(SystemError) {
    descriptor = Descriptor(owning: try SystemError.check(lagoon_socket_connect(path)))
  }

  /// For calls on the socket while this value lives.
  package var number: Int32 { descriptor.number }

  package var peer: (user: UInt32, process: Int32) {
    get throws(SystemError) {
      var user: UInt32 = 0
      var process: Int32 = 0
      _ = try SystemError.check(lagoon_socket_peer(number, &user, &process))
      return (user, process)
    }
  }

  /// Sends one frame.
  ///
  /// - Parameters:
  ///   - tensors: at most ``maximumTensorPieces`` pieces of memory, valid during the call, sent one behind the other.
  ///   - descriptor: a descriptor that goes along (SCM_RIGHTS).
  ///   - timeout: milliseconds for the whole frame, -1 without bound.
  package func send(
    requestID: UInt64, message: [UInt8], tensors: [UnsafeRawBufferPointer] = [], passing passed: Int32 = -1,
    timeout: Int64 = -1
  ) throws(SystemError) {
    precondition(tensors.count <= Self.maximumTensorPieces)
    var tensorBytes = 0
    for piece in tensors { tensorBytes += piece.count }
    let header = FrameHeader(requestID: requestID, messageBytes: message.count, tensorBytes: tensorBytes)
      .encoded
    let result = header.withUnsafeBytes { header in
      message.withUnsafeBytes { message in
        var pieces = [
          lagoon_piece(start: header.baseAddress, bytes: header.count),
          lagoon_piece(start: message.baseAddress, bytes: message.count),
        ]
        for piece in tensors { pieces.append(lagoon_piece(start: piece.baseAddress, bytes: piece.count)) }
        return lagoon_socket_send(number, pieces, pieces.count, passed, timeout)
      }
    }
    _ = try SystemError.check(result)
  }

  /// `lagoon_socket_send` takes 16 pieces; two are the header and the message.
  package static let maximumTensorPieces = 14

  /// Receives into all of `buffer`, unless the peer ends the stream first.
  ///
  /// - Parameter timeout: milliseconds for all of it, -1 without bound.
  /// - Returns: the bytes received, fewer than asked for at the end of the stream only.
  package func receive(
    into buffer: UnsafeMutableRawBufferPointer, timeout: Int64 = -1
  ) throws(SystemError) -> Int {
    Int(try SystemError.check(lagoon_socket_receive(number, buffer.baseAddress, buffer.count, timeout, nil)))
  }

  /// As ``receive(into:timeout:)``, and takes a descriptor that comes along.
  package func receive(
    into buffer: UnsafeMutableRawBufferPointer, passed: inout Int32, timeout: Int64 = -1
  ) throws(SystemError) -> Int {
    Int(
      try SystemError.check(lagoon_socket_receive(number, buffer.baseAddress, buffer.count, timeout, &passed))
    )
  }

  /// Receives what is there, waiting for the first byte for ever.
  /// - Returns: the bytes received, 0 at the end of the stream.
  package func receiveSome(into buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int {
    Int(try SystemError.check(lagoon_socket_receive_some(number, buffer.baseAddress, buffer.count)))
  }

  /// Does `receive`, which may sleep, and before that looks for something to receive as long as it pays.
  package func wait<Failure: Error>(
    with patience: inout Patience, _ receive: () throws(Failure) -> Int
  ) throws(Failure) -> Int {
    let start = Patience.now
    let isThere = patience.look { lagoon_socket_is_readable(number) != 0 }
    let received = try receive()
    patience.note(Patience.now - start, slept: !isThere)
    return received
  }

  /// Waits until there is something to read, or the end of the stream.
  /// - Returns: false if `timeout` milliseconds passed.
  package func waitReadable(timeout: Int64) throws(SystemError) -> Bool {
    try SystemError.check(lagoon_wait_readable(number, -1, timeout)) != 0
  }
}
