import LagKV
import LagoonProtocol

/// The daemon at the other end, as it introduced itself.
public struct DaemonInfo: Sendable, Hashable {
  public let version: String
  public let protocolVersion: Int
  /// `process`, `ordered` or `full`: what an acknowledged commit survives.
  public let durability: String
  public let limits: Limits
  /// As the daemon's log names this connection.
  public let connectionID: UInt64

  /// Caps that the daemon enforces; sizes in bytes.
  public struct Limits: Sendable, Hashable {
    public let messageBytes: Int
    public let tensorBytes: Int
    public let arenaBytes: Int
    public let arenaBytesTotal: Int
    public let stagedBytesPerConnection: Int
    public let stagedBytesTotal: Int
    public let fetchBytes: Int
    public let connections: Int
    public let handlesPerConnection: Int
    public let quotaBytes: Int
  }
}

/// A session as the daemon's last reply described it.
public struct SessionInfo: Sendable, Hashable {
  public let parameters: SessionParameters
  /// Committed tokens, the same in every layer.
  public let tokens: Int
  /// ``TokenHash`` of the committed tokens.
  public let tokenHash: UInt64
  /// Commits so far.
  public let generation: UInt64
  public let storedBytes: Int
  public let hasWriter: Bool
  public let createdUnixSeconds: Int
  public let committedUnixSeconds: Int

  public var name: String { parameters.name }
}

/// A session and each of its layers.
public struct SessionDetails: Sendable, Hashable {
  public let info: SessionInfo
  public let layers: [LayerInfo]
}

public struct LayerInfo: Sendable, Hashable {
  public let layer: Int
  public let tokens: Int
  /// Per head, the window's rows not counted.
  public let keptRows: Int
  public let windowRows: Int
  public let storedBytes: Int
  /// Of ``storedBytes``, the archive's.
  public let archiveBytes: Int
  public let codec: Codec
}

/// Counters and sizes of the daemon and its store.
public struct DaemonStatistics: Sendable, Hashable, Codable {
  public var uptimeSeconds = 0
  public var sessions = 0
  public var connections = 0
  public var quotaBytes = 0
  public var liveBytes = 0
  public var unreclaimedBytes = 0
  public var fileBytes = 0
  public var commits = 0
  public var commitGroups = 0
  public var committedTokens = 0
  public var pagesWritten = 0
  public var attendCalls = 0
  public var stepCalls = 0
  public var requests = 0
  public var failedRequests = 0
  public var stagedBytes = 0
  public var arenaBytes = 0
  public var quarantinedRecords = 0
  public var residentAnonymousBytes = 0
  /// Sessions whose kept rows were compressed because nobody used them, and stored raw again because somebody did.
  public var demotions = 0
  public var promotions = 0
}

/// What a check of stored records found.
public struct VerificationSummary: Sendable, Hashable {
  public let records: Int
  public let bytes: Int
  /// All damaged records.
  public let damagedRecords: Int
  /// The first of them: as many as the daemon lists in one reply.
  public let damage: [LagoonError]
}

extension DaemonInfo {
  init(_ message: WireHelloReply) {
    version = message.daemonVersion
    protocolVersion = Int(message.protocolVersion)
    durability = message.durability
    connectionID = message.connectionID
    let limits = message.limits
    self.limits = Limits(
      messageBytes: Int(clamping: limits.messageBytes), tensorBytes: Int(clamping: limits.tensorBytes),
      arenaBytes: Int(clamping: limits.arenaBytes), arenaBytesTotal: Int(clamping: limits.arenaBytesTotal),
      stagedBytesPerConnection: Int(clamping: limits.stagedBytesPerConnection),
      stagedBytesTotal: Int(clamping: limits.stagedBytesTotal), fetchBytes: Int(clamping: limits.fetchBytes),
      connections: Int(limits.connections), handlesPerConnection: Int(limits.handlesPerConnection),
      quotaBytes: Int(clamping: limits.quotaBytes))
  }
}

extension SessionInfo {
  init?(_ message: WireSessionState) {
    guard let parameters = SessionParameters(message.configuration) else { return nil }
    self.init(
      parameters: parameters, tokens: Int(clamping: message.tokens), tokenHash: message.tokenHash,
      generation: message.generation, storedBytes: Int(clamping: message.storedBytes),
      hasWriter: message.hasWriter_p, createdUnixSeconds: Int(message.createdUnixSeconds),
      committedUnixSeconds: Int(message.committedUnixSeconds))
  }
}

extension LayerInfo {
  init?(_ message: WireLayerState) {
    guard let codec = Codec(message.codec) else { return nil }
    self.init(
      layer: Int(message.layer), tokens: Int(clamping: message.tokens),
      keptRows: Int(clamping: message.keptRows),
      windowRows: Int(clamping: message.windowRows), storedBytes: Int(clamping: message.storedBytes),
      archiveBytes: Int(clamping: message.archiveBytes), codec: codec)
  }
}

extension DaemonStatistics {
  init(_ message: WireStatsReply) {
    uptimeSeconds = Int(clamping: message.uptimeSeconds)
    sessions = Int(clamping: message.sessions)
    connections = Int(clamping: message.connections)
    quotaBytes = Int(clamping: message.quotaBytes)
    liveBytes = Int(clamping: message.liveBytes)
    unreclaimedBytes = Int(clamping: message.unreclaimedBytes)
    fileBytes = Int(clamping: message.fileBytes)
    commits = Int(clamping: message.commits)
    commitGroups = Int(clamping: message.commitGroups)
    committedTokens = Int(clamping: message.committedTokens)
    pagesWritten = Int(clamping: message.pagesWritten)
    attendCalls = Int(clamping: message.attendCalls)
    stepCalls = Int(clamping: message.stepCalls)
    requests = Int(clamping: message.requests)
    failedRequests = Int(clamping: message.failedRequests)
    stagedBytes = Int(clamping: message.stagedBytes)
    arenaBytes = Int(clamping: message.arenaBytes)
    quarantinedRecords = Int(clamping: message.quarantinedRecords)
    residentAnonymousBytes = Int(clamping: message.residentAnonymousBytes)
    demotions = Int(clamping: message.demotions)
    promotions = Int(clamping: message.promotions)
  }
}
