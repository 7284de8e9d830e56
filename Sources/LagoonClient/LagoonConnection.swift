import LagKV
import LagoonProtocol

/// A connection to a daemon. Calls block until the daemon has answered; use it, and the sessions opened through it, from one
/// thread at a time. When it ends, its writers are aborted and its handles closed.
public final class LagoonConnection {
  /// `$LAGOON_SOCKET`, else `$XDG_RUNTIME_DIR/lagoon.sock`, else `/tmp/lagoon-UID/lagoon.sock`.
  public static var defaultSocketPath: String { SocketPath.standard }

  /// The daemon's version, limits and durability.
  public let daemon: DaemonInfo
  let exchange: Exchange
  let arena: ClientArena?

  /// Connects and introduces itself.
  ///
  /// - Parameters:
  ///   - clientName: for the daemon's log.
  ///   - arenaBytes: size of memory shared with the daemon, through which tensors then travel; 0: tensors travel inline.
  ///     Calls too large for the arena travel inline.
  /// - Throws: `cannotConnect`, `overloaded`, `unsupportedVersion`, `tooLarge` (the arena).
  public init(
    socketPath: String = LagoonConnection.defaultSocketPath, clientName: String = "LagoonClient",
    arenaBytes: Int = 0
  ) throws(LagoonError) {
    exchange = try Exchange(connectingTo: socketPath)
    var hello = WireHello()
    hello.protocolVersion = UInt32(FrameHeader.version)
    hello.clientName = clientName
    guard case .hello(let reply)? = try exchange.call(.hello(hello)).result else {
      throw exchange.unexpectedReply("hello")
    }
    daemon = DaemonInfo(reply)
    exchange.introduced(as: reply.connectionID, messageLimit: daemon.limits.messageBytes)
    arena = arenaBytes > 0 ? try ClientArena(bytes: arenaBytes, through: exchange) : nil
  }

  /// Makes a session and opens it.
  /// - Throws: `alreadyExists`, `invalidArgument`, `quotaExceeded`, `overloaded` (too many handles), `unsupportedVersion` where
  ///   the daemon knows no ephemeral sessions.
  public func createSession(_ parameters: SessionParameters) throws(LagoonError) -> RemoteSession {
    guard let configuration = parameters.wire else {
      throw LagoonError(.invalidArgument, "a size of session '\(parameters.name)' is negative or above 2^32")
    }
    var call = WireCreateSession()
    call.configuration = configuration
    let made = try session(from: try exchange.call(.createSession(call)))
    guard made.info.parameters.ephemeral == parameters.ephemeral else {
      try made.close()
      try deleteSession(parameters.name)
      throw LagoonError(
        .unsupportedVersion, "this daemon knows no ephemeral sessions: it is \(daemon.version)")
    }
    return made
  }

  /// Opens a session that exists.
  ///
  /// - Parameters:
  ///   - fingerprint: 32 bytes; refused with `otherModel` unless the session's are the same. Empty: not checked.
  ///   - prefix: the client's first tokens and their ``TokenHash``; refused with `otherText` when the session stands at
  ///     this count with another hash. A session that stands elsewhere is opened: look at its ``RemoteSession/info``.
  /// - Throws: `notFound`, `otherModel`, `otherText`, `overloaded` (too many handles).
  public func openSession(
    _ name: String, fingerprint: [UInt8] = [], prefix: (tokens: Int, hash: UInt64)? = nil
  ) throws(LagoonError) -> RemoteSession {
    var call = WireOpenSession()
    call.name = name
    call.modelFingerprint = .init(fingerprint)
    if let prefix {
      call.prefixTokens = try wireCount(prefix.tokens, "a prefix")
      call.prefixHash = prefix.hash
    }
    return try session(from: try exchange.call(.openSession(call)))
  }

  /// All sessions, in order of their names' bytes. Many take several replies: of sessions that are made or deleted meanwhile
  /// some may be there and others not.
  public func listSessions() throws(LagoonError) -> [SessionInfo] {
    var infos: [SessionInfo] = []
    var call = WireListSessions()
    while true {
      guard case .sessions(let list)? = try exchange.call(.listSessions(call)).result else {
        throw exchange.unexpectedReply("list_sessions")
      }
      for state in list.sessions { infos.append(try info(state)) }
      guard list.more else { return infos }
      // What does not go on would go on for ever.
      guard let last = list.sessions.last?.configuration.name.utf8, call.after.lexicographicallyPrecedes(last)
      else { throw exchange.unexpectedReply("list_sessions") }
      call.after = .init(last)
    }
  }

  /// A session, layer by layer.
  /// - Throws: `notFound`.
  public func describe(_ name: String) throws(LagoonError) -> SessionDetails {
    var call = WireDescribeSession()
    call.name = name
    guard case .description_p(let description)? = try exchange.call(.describeSession(call)).result else {
      throw exchange.unexpectedReply("describe_session")
    }
    var layers: [LayerInfo] = []
    for layer in description.layers {
      guard let layer = LayerInfo(layer) else { throw exchange.unexpectedReply("describe_session") }
      layers.append(layer)
    }
    return SessionDetails(info: try info(description.state), layers: layers)
  }

  /// Removes a session; its room is reclaimed in the background.
  /// - Throws: `notFound`, `busy` (a writer holds it).
  public func deleteSession(_ name: String) throws(LagoonError) {
    var call = WireDeleteSession()
    call.name = name
    try done(.deleteSession(call), "delete_session")
  }

  /// Reads every record of a session (nil: of all) and checks it.
  /// - Throws: `notFound`.
  public func verify(_ name: String? = nil) throws(LagoonError) -> VerificationSummary {
    var call = WireVerify()
    call.name = name ?? ""
    guard case .verification(let reply)? = try exchange.call(.verify(call)).result else {
      throw exchange.unexpectedReply("verify")
    }
    let connection = daemon.connectionID
    return VerificationSummary(
      records: Int(clamping: reply.records), bytes: Int(clamping: reply.bytes),
      // A daemon that does not know the count says 0.
      damagedRecords: max(Int(clamping: reply.damagedRecords), reply.damage.count),
      damage: reply.damage.map { LagoonError($0, requestID: 0, connectionID: connection) })
  }

  public func stats() throws(LagoonError) -> DaemonStatistics {
    guard case .stats(let reply)? = try exchange.call(.stats(.init())).result else {
      throw exchange.unexpectedReply("stats")
    }
    return DaemonStatistics(reply)
  }

  /// Returns when everything committed so far is on stable storage, whatever the daemon's durability.
  public func sync() throws(LagoonError) { try done(.sync(.init()), "sync") }

  /// Asks the daemon to stop. It finishes the requests it is at, closes the store and ends.
  /// - Throws: `notPermitted` unless daemon and client are the same user's.
  public func shutdown() throws(LagoonError) { try done(.shutdown(.init()), "shutdown") }

  /// The memory shared with the daemon, if any; for tests of what a client can do to it.
  package var sharedMemory: UnsafeMutableRawBufferPointer? { arena?.bytes }

  func done(_ call: WireRequest.OneOf_Call, _ name: String) throws(LagoonError) {
    guard case .done? = try exchange.call(call).result else { throw exchange.unexpectedReply(name) }
  }

  func info(_ state: WireSessionState) throws(LagoonError) -> SessionInfo {
    guard let info = SessionInfo(state) else {
      throw LagoonError(
        .unsupportedVersion,
        "session '\(state.configuration.name)' uses a type, policy or codec that this client does not know")
    }
    return info
  }

  private func session(from reply: WireReply) throws(LagoonError) -> RemoteSession {
    guard case .session(let reply)? = reply.result else { throw exchange.unexpectedReply("open_session") }
    return RemoteSession(handle: reply.handle, info: try info(reply.state), connection: self)
  }
}

/// A count as the wire carries it.
func wireCount(_ count: Int, _ what: String) throws(LagoonError) -> UInt64 {
  guard count >= 0 else { throw LagoonError(.invalidArgument, "\(what) of \(count) tokens cannot be") }
  return UInt64(count)
}
