import Glibc
import KVStore
import LagoonProtocol

// Calls about the daemon as a whole.

extension Connection {
  func hello(_ call: WireHello) throws(CallError) -> Answer {
    guard !saidHello else {
      throw CallError(.invalidArgument, "this connection has said hello before")
    }
    guard call.protocolVersion == UInt32(FrameHeader.version) else {
      throw CallError(
        .unsupportedVersion,
        "protocol version \(call.protocolVersion) is not spoken here; this daemon speaks \(FrameHeader.version)"
      )
    }
    // The name goes to the log, where it must not pass for something else.
    let name = call.clientName.unicodeScalars.prefix(64).filter { $0.properties.generalCategory != .control }
    logger[metadataKey: "client"] = "\(String(String.UnicodeScalarView(name)))"
    saidHello = true
    var reply = WireHelloReply()
    reply.protocolVersion = UInt32(FrameHeader.version)
    reply.daemonVersion = LagoonVersion.string
    reply.durability = daemon.store.options.durability.rawValue
    reply.connectionID = id
    reply.limits = limits
    return Answer(.hello(reply))
  }

  private var limits: WireLimits {
    let own = daemon.configuration.limits
    let store = daemon.store.options
    var limits = WireLimits()
    limits.messageBytes = UInt64(own.frames.messageBytes)
    limits.tensorBytes = UInt64(own.frames.tensorBytes)
    limits.arenaBytes = UInt64(own.arenaBytes)
    limits.arenaBytesTotal = UInt64(own.arenaBytesTotal)
    limits.stagedBytesPerConnection = UInt64(store.stagedBytesPerOwner)
    limits.stagedBytesTotal = UInt64(store.stagedBytesTotal)
    limits.connections = UInt32(own.connections)
    limits.handlesPerConnection = UInt32(own.handlesPerConnection)
    limits.quotaBytes = UInt64(store.quotaBytes)
    limits.fetchBytes = UInt64(own.fetchBytes)
    return limits
  }

  func createArena(_ call: WireCreateArena) throws(CallError) -> Answer {
    let limit = daemon.configuration.limits.arenaBytes
    guard call.bytes > 0 else { throw CallError(.invalidArgument, "an arena of 0 bytes holds nothing") }
    guard call.bytes <= UInt64(limit) else {
      throw CallError(.tooLarge, "an arena of \(call.bytes) bytes is above the limit of \(limit)")
    }
    // The one before goes first: its bytes count against the cap.
    arena = nil
    let arena = try Arena(bytes: Int(call.bytes), daemon: daemon.arenas)
    self.arena = arena
    var reply = WireArenaReply()
    reply.bytes = call.bytes
    var answer = Answer(.arena(reply))
    answer.descriptor = arena.descriptor.number
    return answer
  }

  func sync() throws(CallError) -> Answer {
    try storing { () throws(StoreError) in try daemon.store.sync() }
    return .done
  }

  func stats() -> Answer {
    let store = daemon.store.statistics
    var reply = WireStatsReply()
    reply.uptimeSeconds = UInt64(clamping: daemon.uptime.components.seconds)
    reply.sessions = UInt64(clamping: store.sessions)
    reply.connections = UInt64(clamping: daemon.connectionCount)
    reply.quotaBytes = UInt64(clamping: store.quotaBytes)
    reply.liveBytes = UInt64(clamping: store.liveBytes)
    reply.unreclaimedBytes = UInt64(clamping: store.unreclaimedBytes)
    reply.fileBytes = UInt64(clamping: store.fileBytes)
    reply.commits = UInt64(clamping: store.commits)
    reply.commitGroups = UInt64(clamping: store.commitGroups)
    reply.committedTokens = UInt64(clamping: store.committedTokens)
    reply.pagesWritten = UInt64(clamping: store.pagesWritten)
    reply.stagedBytes = UInt64(clamping: store.stagedBytes)
    reply.quarantinedRecords = UInt64(clamping: store.quarantinedRecords)
    reply.demotions = UInt64(clamping: store.demotions)
    reply.promotions = UInt64(clamping: store.promotions)
    reply.attendCalls = UInt64(clamping: daemon.counters.attendCalls.load(ordering: .relaxed))
    reply.stepCalls = UInt64(clamping: daemon.counters.stepCalls.load(ordering: .relaxed))
    reply.requests = UInt64(clamping: daemon.counters.requests.load(ordering: .relaxed))
    reply.failedRequests = UInt64(clamping: daemon.counters.failedRequests.load(ordering: .relaxed))
    reply.arenaBytes = UInt64(clamping: daemon.arenas.used)
    reply.residentAnonymousBytes = UInt64(clamping: ProcessMemory.residentAnonymousBytes)
    return Answer(.stats(reply))
  }

  func verify(_ call: WireVerify) throws(CallError) -> Answer {
    let report = try storing { () throws(StoreError) in
      try daemon.store.verify(call.name.isEmpty ? nil : call.name)
    }
    var reply = WireVerifyReply()
    reply.records = UInt64(clamping: report.records)
    reply.bytes = UInt64(clamping: report.bytes)
    reply.damagedRecords = UInt64(clamping: report.damage.count)
    // A reply must fit its frame.
    reply.damage = report.damage.prefix(daemon.configuration.limits.listedDamage).map { CallError($0).wire }
    if !report.damage.isEmpty { logger.error("verify found \(report.damage.count) damaged records") }
    return Answer(.verification(reply))
  }

  func shutdownDaemon() throws(CallError) -> Answer {
    guard user == geteuid() else {
      throw CallError(.notPermitted, "only user \(geteuid()), whose daemon this is, may stop it")
    }
    logger.notice("the client asks the daemon to stop")
    var answer = Answer.done
    answer.afterwards = { [daemon] in daemon.requestStop() }
    return answer
  }
}
