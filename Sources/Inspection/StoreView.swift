/// A damaged record or place.
public struct DamageView: Sendable, Equatable, Codable {
  public var code: String
  public var message: String
  public var session: String?
  public var layer: Int?
  public var partition: Int?
  public init(code: String, message: String, session: String?, layer: Int?, partition: Int?) {
    self.code = code
    self.message = message
    self.session = session
    self.layer = layer
    self.partition = partition
  }
}

/// What `lagoon verify` prints.
public struct VerificationView: Sendable, Equatable, Codable {
  public var records: Int
  public var bytes: Int
  /// All of them; a daemon lists the first ones only.
  public var damagedRecords: Int
  public var damage: [DamageView]

  enum CodingKeys: String, CodingKey {
    case records, bytes, damage
    case damagedRecords = "damaged_records"
  }

  /// - Parameter damagedRecords: nil: as many as are listed.
  public init(records: Int, bytes: Int, damagedRecords: Int? = nil, damage: [DamageView]) {
    self.records = records
    self.bytes = bytes
    self.damagedRecords = damagedRecords ?? damage.count
    self.damage = damage
  }
}

/// What `lagoon stats` prints. `daemon` is absent when a stopped store was read.
public struct StoreView: Sendable, Equatable, Codable {
  public var sessions: Int
  /// `nil` for a stopped store: the quota is the daemon's setting.
  public var quotaBytes: Int?
  /// Bytes of records that sessions use.
  public var liveBytes: Int
  /// Bytes of deleted sessions that have not been given back yet.
  public var unreclaimedBytes: Int
  public var fileBytes: Int
  public var quarantinedRecords: Int
  public var daemon: DaemonView?

  enum CodingKeys: String, CodingKey {
    case sessions, daemon
    case quotaBytes = "quota_bytes"
    case liveBytes = "live_bytes"
    case unreclaimedBytes = "unreclaimed_bytes"
    case fileBytes = "file_bytes"
    case quarantinedRecords = "quarantined_records"
  }

  public init(
    sessions: Int, quotaBytes: Int?, liveBytes: Int, unreclaimedBytes: Int, fileBytes: Int,
    quarantinedRecords: Int, daemon: DaemonView? = nil
  ) {
    self.sessions = sessions
    self.quotaBytes = quotaBytes
    self.liveBytes = liveBytes
    self.unreclaimedBytes = unreclaimedBytes
    self.fileBytes = fileBytes
    self.quarantinedRecords = quarantinedRecords
    self.daemon = daemon
  }
}

/// What a running daemon has done since it started.
public struct DaemonView: Sendable, Equatable, Codable {
  public var version: String
  public var durability: String
  public var uptimeSeconds: Int
  public var connections: Int
  public var commits: Int
  public var commitGroups: Int
  public var committedTokens: Int
  public var pagesWritten: Int
  public var attendCalls: Int
  public var stepCalls: Int
  public var requests: Int
  public var failedRequests: Int
  public var stagedBytes: Int
  public var arenaBytes: Int
  public var residentAnonymousBytes: Int
  /// Sessions compressed because nobody used them, and stored raw again because somebody did.
  public var demotions: Int
  public var promotions: Int

  enum CodingKeys: String, CodingKey {
    case version, durability, connections, commits, requests, demotions, promotions
    case uptimeSeconds = "uptime_seconds"
    case commitGroups = "commit_groups"
    case committedTokens = "committed_tokens"
    case pagesWritten = "pages_written"
    case attendCalls = "attend_calls"
    case stepCalls = "step_calls"
    case failedRequests = "failed_requests"
    case stagedBytes = "staged_bytes"
    case arenaBytes = "arena_bytes"
    case residentAnonymousBytes = "resident_anonymous_bytes"
  }

  public init(
    version: String, durability: String, uptimeSeconds: Int, connections: Int, commits: Int,
    commitGroups: Int, committedTokens: Int, pagesWritten: Int, attendCalls: Int, stepCalls: Int,
    requests: Int, failedRequests: Int, stagedBytes: Int, arenaBytes: Int, residentAnonymousBytes: Int,
    demotions: Int, promotions: Int
  ) {
    self.version = version
    self.durability = durability
    self.uptimeSeconds = uptimeSeconds
    self.connections = connections
    self.commits = commits
    self.commitGroups = commitGroups
    self.committedTokens = committedTokens
    self.pagesWritten = pagesWritten
    self.attendCalls = attendCalls
    self.stepCalls = stepCalls
    self.requests = requests
    self.failedRequests = failedRequests
    self.stagedBytes = stagedBytes
    self.arenaBytes = arenaBytes
    self.residentAnonymousBytes = residentAnonymousBytes
    self.demotions = demotions
    self.promotions = promotions
  }
}
