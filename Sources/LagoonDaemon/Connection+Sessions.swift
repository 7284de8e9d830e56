import KVStore
import LagKV
import LagoonProtocol

// Calls about whole sessions.

extension Connection {
  func createSession(_ call: WireCreateSession) throws(CallError) -> Answer {
    try handles.requireRoom()
    let configuration = try Self.configuration(call.configuration)
    let session = try storing { () throws(StoreError) in try daemon.store.create(configuration) }
    if configuration.ephemeral { ephemeral[Array(configuration.name.utf8)] = session }
    logger.info("session created", metadata: ["session": "\(configuration.name)"])
    return try opened(session)
  }

  func openSession(_ call: WireOpenSession) throws(CallError) -> Answer {
    try handles.requireRoom()
    var expectation = SessionExpectation(fingerprint: try Self.fingerprint(call.modelFingerprint))
    guard call.hasPrefixTokens == call.hasPrefixHash else {
      throw CallError(.invalidArgument, "prefix_tokens and prefix_hash come together or not at all")
    }
    if call.hasPrefixTokens { expectation.prefix = (Int(clamping: call.prefixTokens), call.prefixHash) }
    let session = try storing { () throws(StoreError) in
      try daemon.store.open(call.name, expecting: expectation)
    }
    return try opened(session)
  }

  func closeSession(_ call: WireCloseSession) throws(CallError) -> Answer {
    try handles.closeSession(call.handle)
    return .done
  }

  func listSessions(_ call: WireListSessions) throws(CallError) -> Answer {
    let limits = daemon.configuration.limits
    let limit = call.limit == 0 ? limits.listedSessions : min(Int(call.limit), limits.listedSessions)
    let page = try storing { () throws(StoreError) in
      try daemon.store.sessions(
        after: Array(call.after), limit: limit, recordBytes: limits.listedSessionBytes)
    }
    var list = WireSessionList()
    list.sessions = page.sessions.map(WireSessionState.init)
    list.more = page.hasMore
    return Answer(.sessions(list))
  }

  func describeSession(_ call: WireDescribeSession) throws(CallError) -> Answer {
    let (state, layers) = try storing { () throws(StoreError) in try daemon.store.describe(call.name) }
    var description = WireSessionDescription()
    description.state = WireSessionState(state)
    description.layers = layers.map(WireLayerState.init)
    return Answer(.description_p(description))
  }

  func deleteSession(_ call: WireDeleteSession) throws(CallError) -> Answer {
    try storing { () throws(StoreError) in try daemon.store.delete(call.name) }
    ephemeral[Array(call.name.utf8)] = nil
    logger.info("session deleted", metadata: ["session": "\(call.name)"])
    return .done
  }

  /// Ends the ephemeral sessions that this connection made. What cannot be ended now goes with the daemon.
  func endEphemeralSessions() {
    for session in ephemeral.values {
      do throws(StoreError) {
        try daemon.store.end(session)
        logger.info("ephemeral session ended", metadata: ["session": "\(session.configuration.name)"])
      } catch {
        logger.warning("an ephemeral session stays until the daemon ends: \(CallError(error).logLine)")
      }
    }
    ephemeral = [:]
  }

  /// The reply about a session that stays open under `handle`.
  func sessionReply(_ handle: UInt32, _ state: SessionState) -> Answer {
    var reply = WireSessionReply()
    reply.handle = handle
    reply.state = WireSessionState(state)
    return Answer(.session(reply))
  }

  private func opened(_ session: Session) throws(CallError) -> Answer {
    let state = try storing { () throws(StoreError) in try session.state() }
    return sessionReply(try handles.open(.session(Handles.OpenSession(session))), state)
  }

  // MARK: From the wire

  private static func configuration(_ wire: WireSessionConfiguration) throws(CallError)
    -> SessionConfiguration
  {
    guard let elementType = ElementType(wire.elementType) else {
      throw CallError(.invalidArgument, "element type \(wire.elementType.rawValue) is unknown")
    }
    guard let policy = PolicyKind(wire.policy) else {
      throw CallError(.invalidArgument, "policy \(wire.policy.rawValue) is unknown")
    }
    guard let codec = Codec(wire.codec) else {
      throw CallError(.invalidArgument, "codec \(wire.codec.rawValue) is unknown")
    }
    let fingerprint = try fingerprint(wire.modelFingerprint)
    let retention: RetentionParameters
    do throws(RetentionError) {
      retention = try RetentionParameters(
        policy: policy, sinks: Int(wire.sinks), lag: Int(wire.lag), ratio: wire.ratio,
        valueWeight: wire.valueWeight, seed: wire.seed, exemptLayers: Set(wire.exemptLayers.map(Int.init)))
    } catch {
      throw CallError(.invalidArgument, error.message)
    }
    return try storing { () throws(StoreError) in
      try SessionConfiguration(
        name: wire.name, layers: Int(wire.layers), kvHeads: Int(wire.kvHeads), headDim: Int(wire.headDim),
        elementType: elementType, retention: retention, archive: wire.archive,
        codec: codec, ephemeral: wire.ephemeral, fingerprint: fingerprint ?? .none)
    }
  }

  private static func fingerprint(_ bytes: some Collection<UInt8>) throws(CallError) -> ModelFingerprint? {
    if bytes.isEmpty { return nil }
    guard let fingerprint = ModelFingerprint(bytes: bytes) else {
      throw CallError(
        .invalidArgument,
        "a model fingerprint has \(ModelFingerprint.byteCount) bytes or none; this one has \(bytes.count)")
    }
    return fingerprint
  }
}

extension WireSessionState {
  init(_ state: SessionState) {
    self.init()
    configuration = WireSessionConfiguration(state.configuration)
    tokens = UInt64(clamping: state.tokens)
    tokenHash = state.tokenHash
    generation = state.generation
    storedBytes = UInt64(clamping: state.storedBytes)
    hasWriter_p = state.hasWriter
    createdUnixSeconds = state.created
    committedUnixSeconds = state.committed
  }
}

extension WireSessionConfiguration {
  init(_ configuration: SessionConfiguration) {
    self.init()
    let retention = configuration.retention
    name = configuration.name
    layers = UInt32(configuration.layers)
    kvHeads = UInt32(configuration.kvHeads)
    headDim = UInt32(configuration.headDim)
    elementType = configuration.elementType.wire
    policy = retention.policy.wire
    sinks = UInt32(retention.sinks)
    lag = UInt32(retention.lag)
    ratio = retention.ratio
    valueWeight = retention.valueWeight
    seed = retention.seed
    exemptLayers = retention.exemptLayers.sorted().map { UInt32($0) }
    archive = configuration.archive
    codec = configuration.codec.wire
    ephemeral = configuration.ephemeral
    modelFingerprint = .init(configuration.fingerprint == .none ? [] : configuration.fingerprint.bytes)
  }
}

extension WireLayerState {
  init(_ state: LayerState) {
    self.init()
    layer = UInt32(state.layer)
    tokens = UInt64(clamping: state.tokens)
    keptRows = UInt64(clamping: state.keptRows)
    windowRows = UInt64(clamping: state.windowRows)
    storedBytes = UInt64(clamping: state.storedBytes)
    archiveBytes = UInt64(clamping: state.archiveBytes)
    codec = state.codec.wire
  }
}
