import Glibc
import KVStore
import LagoonProtocol
import Logging
import Patience
import SwiftProtobuf

/// One client: receives its frames, runs its calls one after the other and answers each. Lives on its own thread.
final class Connection {
  let id: UInt64
  let daemon: Daemon
  let staging: StagingAccount
  var logger: Logger
  var handles: Handles
  /// Ephemeral sessions that this connection made, by their names' bytes: the store, unlike a `String`, tells two spellings
  /// of the same characters apart.
  var ephemeral: [[UInt8]: Session] = [:]
  var arena: Arena?
  var saidHello = false
  /// The peer's user, as the kernel knows it.
  private(set) var user: UInt32 = .max
  private let socket: FrameSocket
  private var patience = Patience()
  private var messages = MappedBuffer()
  private var tensors = MappedBuffer()
  private var results = MappedBuffer()

  init(id: UInt64, socket: consuming FrameSocket, daemon: Daemon) {
    self.id = id
    self.daemon = daemon
    self.socket = socket
    staging = StagingAccount(cap: daemon.store.options.stagedBytesPerOwner)
    handles = Handles(limit: daemon.configuration.limits.handlesPerConnection)
    logger = daemon.logger
    logger[metadataKey: "connection"] = "\(id)"
  }

  /// Serves the client until it leaves or breaks the protocol. Whatever it had open is closed then.
  func serve() {
    do throws(Ending) {
      try admitPeer()
      while true { try serveFrame() }
    } catch {
      // First of all, so that a session is free again when its client sees the end of the stream.
      handles.closeAll()
      endEphemeralSessions()
      arena = nil
      switch error {
      case .left: logger.info("the client left", metadata: ["requests": "\(served)"])
      case .broken(let requestID, let code, let message):
        logger.warning("the connection ends: \(message)", metadata: ["request": "\(requestID)"])
        hangUp(requestID, CallError(code, message))
      case .refused(let requestID):
        logger.info("a request that had not arrived is refused", metadata: ["request": "\(requestID)"])
        hangUp(requestID, .shuttingDown)
      case .unreachable(let message): logger.info("the connection is lost: \(message)")
      }
    }
  }

  private var served = 0

  private func admitPeer() throws(Ending) {
    let process: Int32
    do throws(SystemError) {
      (user, process) = try socket.peer
    } catch {
      throw .unreachable("the peer is unknown: \(error)")
    }
    guard user == geteuid() || user == 0 else {
      throw .broken(requestID: 0, .notPermitted, "user \(user) may not use the daemon of user \(geteuid())")
    }
    logger.info("a client connected", metadata: ["user": "\(user)", "process": "\(process)"])
  }

  // MARK: Receiving

  private func serveFrame() throws(Ending) {
    let header = try receiveHeader()
    let message = try receive(header.messageBytes, of: header.requestID, "message", into: &messages)
    let inline = try receive(header.tensorBytes, of: header.requestID, "tensors", into: &tensors)
    served += 1
    Counters.count(daemon.counters.requests)
    let request: WireRequest
    do {
      request = try WireRequest(serializedBytes: UnsafeRawBufferPointer(message).bytes)
    } catch {
      return try fail(header.requestID, CallError(.badMessage, "the message is not a Request: \(error)"))
    }
    let answer: Answer
    do throws(CallError) {
      guard let call = request.call else {
        throw CallError(.badMessage, "the request holds no call that this daemon knows")
      }
      logger.trace("request", metadata: ["request": "\(header.requestID)", "call": "\(call.name)"])
      answer = try self.answer(call, TensorRegions(inline: inline, arena: arena?.bytes))
    } catch {
      return try fail(header.requestID, error)
    }
    try send(answer, to: header.requestID)
    answer.afterwards?()
  }

  private func receiveHeader() throws(Ending) -> FrameHeader {
    let buffer: UnsafeMutableRawBufferPointer
    var received: Int
    do throws(SystemError) {
      try shrinkWhenIdle()
      buffer = try messages.reserve(FrameHeader.byteCount)
      // A connection may idle for ever before a frame, but not inside one.
      received = try socket.wait(with: &patience) { () throws(SystemError) in
        try socket.receiveSome(into: buffer)
      }
      if received > 0, received < buffer.count {
        received += try socket.receive(
          into: UnsafeMutableRawBufferPointer(rebasing: buffer[received...]),
          timeout: daemon.configuration.timeouts.receive)
      }
    } catch {
      throw Ending(error, receiving: "header", requestID: 0)
    }
    guard received > 0 else { throw .left }
    guard received == buffer.count else {
      throw cutShort(after: received, of: buffer.count, "header", requestID: 0)
    }
    do throws(FrameError) {
      return try FrameHeader(
        decoding: UnsafeRawBufferPointer(buffer), limits: daemon.configuration.limits.frames)
    } catch {
      throw .broken(requestID: error.requestID, error.code, error.description)
    }
  }

  private func receive(
    _ bytes: Int, of requestID: UInt64, _ part: String, into buffer: inout MappedBuffer
  ) throws(Ending) -> UnsafeMutableRawBufferPointer {
    let memory: UnsafeMutableRawBufferPointer
    let received: Int
    do throws(SystemError) {
      memory = try buffer.reserve(bytes)
      received = try socket.receive(into: memory, timeout: daemon.configuration.timeouts.receive)
    } catch {
      throw Ending(error, receiving: part, requestID: requestID)
    }
    guard received == bytes else {
      throw cutShort(after: received, of: bytes, part, requestID: requestID)
    }
    return memory
  }

  /// Gives large buffers back if the client sends nothing for a while.
  private func shrinkWhenIdle() throws(SystemError) {
    guard tensors.isLarge || results.isLarge || messages.isLarge else { return }
    if try socket.waitReadable(timeout: daemon.configuration.timeouts.idle) { return }
    messages.shrink()
    tensors.shrink()
    results.shrink()
  }

  // MARK: Replying

  /// What a call answers.
  struct Answer {
    var result: WireReply.OneOf_Result
    /// Sent behind the message; valid until the next request is received.
    var tensors: [UnsafeRawBufferPointer] = []
    /// A descriptor to pass along, or -1.
    var descriptor: Int32 = -1
    /// Runs once the reply is out.
    var afterwards: (() -> Void)?

    init(_ result: WireReply.OneOf_Result) { self.result = result }

    static var done: Answer { Answer(.done(.init())) }
  }

  /// Memory for a reply's tensors, valid until the next request is received.
  func resultMemory(_ bytes: Int) throws(CallError) -> UnsafeMutableRawBufferPointer {
    do throws(SystemError) {
      return try results.reserve(bytes)
    } catch {
      throw CallError(.overloaded, "no memory for \(bytes) bytes of results: \(error)")
    }
  }

  private func send(_ answer: Answer, to requestID: UInt64) throws(Ending) {
    var reply = WireReply()
    reply.result = answer.result
    do throws(SystemError) {
      try socket.send(
        requestID: requestID, message: Self.encode(reply), tensors: answer.tensors,
        passing: answer.descriptor,
        timeout: daemon.configuration.timeouts.send)
    } catch {
      throw .unreachable("a reply was not taken: \(error)")
    }
  }

  private func fail(_ requestID: UInt64, _ error: CallError) throws(Ending) {
    Counters.count(daemon.counters.failedRequests)
    logger.log(
      level: error.logLevel, error.logLine,
      metadata: ["request": "\(requestID)", "code": "\(error.code)"])
    try send(Answer(.error(error.wire)), to: requestID)
  }

  /// Tells the client why the connection ends, and reads what it is sending for at most a second, so that closing the socket
  /// does not take the reply away.
  private func hangUp(_ requestID: UInt64, _ error: CallError) {
    Counters.count(daemon.counters.failedRequests)
    guard (try? send(Answer(.error(error.wire)), to: requestID)) != nil else { return }
    shutdown(socket.number, Int32(SHUT_WR))
    let end = ContinuousClock.now + .seconds(1)
    guard let scrap = try? messages.reserve(MappedBuffer.smallest) else { return }
    while ContinuousClock.now < end, (try? socket.waitReadable(timeout: 100)) == true,
      let received = try? socket.receiveSome(into: scrap), received > 0
    {}
  }

  private static func encode(_ reply: WireReply) -> [UInt8] {
    if let bytes: [UInt8] = try? reply.serializedBytes() { return bytes }
    // Only a message above 2 GiB cannot be encoded, and no reply comes near.
    var failure = WireReply()
    failure.error = CallError(.internal, "the reply cannot be encoded").wire
    return (try? failure.serializedBytes()) ?? []
  }
}
