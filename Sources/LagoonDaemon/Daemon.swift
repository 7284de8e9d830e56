import CPosix
import Glibc
import KVStore
import LagoonProtocol
import Logging
import Synchronization

/// Serves a store to clients on a Unix socket.
///
/// One thread accepts; each connection has a thread of its own, on which its requests run one after the other. A client's
/// errors end at its connection. Everything shared between threads is here: the roster under its lock, counters, the
/// arenas' budget and the store, which locks for itself.
public final class Daemon: Sendable {
  public let store: KVStore
  public let configuration: DaemonConfiguration
  public let logger: Logger
  let counters = Counters()
  let arenas: ArenaBudget
  private let startTime = ContinuousClock.now
  private let roster: Mutex<Roster>
  /// Taken by the accepting thread, which closes it.
  private let listener: Mutex<ListeningSocket?>
  private let stopping: Event
  private let drained: Event
  private let stopStream: AsyncStream<Void>
  private let stopContinuation: AsyncStream<Void>.Continuation

  /// Binds the socket and starts to serve. Clients are answered as soon as this returns.
  ///
  /// - Throws: if another daemon serves on the socket, or it cannot be made.
  public init(serving store: KVStore, configuration: DaemonConfiguration, logger: Logger) throws(DaemonError)
  {
    // A client that hangs up is an error of one write, not a reason to die.
    signal(SIGPIPE, SIG_IGN)
    self.store = store
    self.configuration = configuration
    self.logger = logger
    arenas = ArenaBudget(total: configuration.limits.arenaBytesTotal)
    roster = Mutex(Roster(limit: configuration.limits.connections))
    (stopStream, stopContinuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    do throws(SystemError) {
      stopping = try Event()
      drained = try Event()
    } catch {
      throw DaemonError("no descriptors are left", error)
    }
    listener = Mutex(try ListeningSocket(at: configuration.socketPath))
    roster.withLock { $0.accepting() }
    do throws(SystemError) {
      try PosixThread.start(name: "lagoon-accept") { [self] in accept() }
    } catch {
      throw DaemonError("no thread can be started", error)
    }
  }

  /// Ends when somebody asked the daemon to stop: a client's shutdown call or ``requestStop()``.
  public func waitForStopRequest() async {
    for await _ in stopStream { return }
  }

  /// Asks whoever waits in ``waitForStopRequest()`` to stop the daemon.
  public func requestStop() { stopContinuation.yield() }

  /// Stops serving: no new connections or requests; those under way finish, or are cut off when
  /// `configuration.timeouts.stop` has passed. The store stays open. Blocks.
  ///
  /// - Returns: whether all requests had finished.
  @discardableResult
  public func stop() -> Bool {
    requestStop()
    stopping.raise()
    roster.withLock { roster in
      roster.drain()
      // A connection leaves the roster before it closes its socket, so these are open still. What a client sent so far is
      // answered; then its thread reads the end of the stream.
      for socket in roster.sockets.values { shutdown(socket, Int32(SHUT_RD)) }
      if roster.isDrained { drained.raise() }
    }
    if drained.wait(timeout: configuration.timeouts.stop) { return true }
    let left = roster.withLock { roster in
      for socket in roster.sockets.values { shutdown(socket, Int32(SHUT_RDWR)) }
      return roster.sockets.count
    }
    logger.warning("\(left) connections did not finish in time and are cut off")
    _ = drained.wait(timeout: 2_000)
    return false
  }

  // MARK: For connections

  var isStopping: Bool { roster.withLock { $0.phase == .draining } }
  var connectionCount: Int { roster.withLock { $0.sockets.count } }
  var uptime: Duration { ContinuousClock.now - startTime }

  // MARK: Accepting

  private func accept() {
    do {
      guard let listener = listener.withLock({ $0.take() }) else { return }
      while accept(from: listener) {}
      // The socket's file goes, and whoever waits to be accepted is refused.
    }
    roster.withLock { roster in
      roster.acceptorEnded()
      if roster.isDrained { drained.raise() }
    }
  }

  /// Waits for a connection.
  /// - Returns: false when the daemon stops.
  private func accept(from listener: borrowing ListeningSocket) -> Bool {
    let ready = lagoon_wait_readable(listener.number, stopping.number, -1)
    if ready < 0 || ready & 2 != 0 { return false }
    let number = lagoon_socket_accept(listener.number)
    if number >= 0 {
      admit(FrameSocket(owning: Descriptor(owning: number)))
    } else if number != -EAGAIN, number != -ECONNABORTED {
      // No descriptors or no memory: others may give some back.
      logger.error("a connection cannot be accepted: \(SystemError(-number))")
      usleep(50_000)
    }
    return true
  }

  private func admit(_ socket: consuming FrameSocket) {
    switch roster.withLock({ $0.admit(socket.number) }) {
    case .serve(let id):
      let connection = Incoming(id: id, socket: socket)
      do throws(SystemError) {
        try PosixThread.start(name: "lagoon-conn-\(id)") { [self] in serve(connection) }
      } catch {
        logger.error("no thread for a connection: \(error)")
        leave(id)
        if let socket = connection.take() {
          Self.turnAway(socket, CallError(.overloaded, "no thread can be started: \(error)"))
        }
      }
    case .overloaded:
      let limit = configuration.limits.connections
      logger.warning("a connection is turned away: \(limit) are open, the most there may be")
      Self.turnAway(
        socket,
        CallError(.overloaded, "\(limit) connections are open, the most there may be: try again later"))
    case .shuttingDown:
      Self.turnAway(socket, .shuttingDown)
    }
  }

  /// Says why and hangs up. A fresh socket's buffer takes the reply, so this does not block.
  private static func turnAway(_ socket: borrowing FrameSocket, _ error: CallError) {
    var reply = WireReply()
    reply.error = error.wire
    guard let bytes: [UInt8] = try? reply.serializedBytes() else { return }
    try? socket.send(requestID: 0, message: bytes, timeout: 0)
  }

  private func serve(_ incoming: Incoming) {
    guard let socket = incoming.take() else { return }
    let connection = Connection(id: incoming.id, socket: socket, daemon: self)
    // The connection's end closes the socket, which must not happen while the roster still names it.
    withExtendedLifetime(connection) {
      connection.serve()
      leave(incoming.id)
    }
  }

  private func leave(_ id: UInt64) {
    roster.withLock { roster in
      roster.leave(id)
      if roster.isDrained { drained.raise() }
    }
  }
}

/// Hands a new connection's socket to its thread.
private final class Incoming: Sendable {
  let id: UInt64
  private let socket: Mutex<FrameSocket?>

  init(id: UInt64, socket: consuming FrameSocket) {
    self.id = id
    self.socket = Mutex(socket)
  }

  func take() -> FrameSocket? { socket.withLock { $0.take() } }
}

extension Daemon {
  /// Asks to stop once standard input ends: whoever started this daemon is gone.
  public func stopAtEndOfInput() {
    do throws(SystemError) {
      try PosixThread.start(name: "lagoon-stdin") { [self] in
        var scrap = [UInt8](repeating: 0, count: 4096)
        while true {
          let count = read(STDIN_FILENO, &scrap, scrap.count)
          if count > 0 || count < 0 && errno == EINTR { continue }
          if count < 0, errno == EAGAIN {
            _ = lagoon_wait_readable(STDIN_FILENO, -1, -1)
            continue
          }
          break
        }
        logger.info("standard input ended")
        requestStop()
      }
    } catch {
      logger.error("standard input is not watched: \(error)")
    }
  }
}
