import SparseAttention

/// What an acknowledged commit survives. The death of the process by `kill -9` it survives always.
public enum Durability: String, Sendable, CaseIterable {
  /// No flush at commit (`MDB_NOSYNC`). After a power cut the store may be damaged; the next open detects that.
  case process
  /// Data flushed, the last meta page not (`MDB_NOMETASYNC`): a power cut may undo the last commits, never damage.
  case ordered
  /// Everything flushed before the acknowledgement.
  case full
}

/// How a store is opened.
public struct StoreOptions: Sendable {
  /// 64 TiB.
  static let largestQuota = 1 << 46
  /// Most bytes that the data file may take, at least 8 MiB. A store keeps its quota's map for as long as it is open.
  public var quotaBytes: Int
  public var durability: Durability
  /// How many threads may read at once, beside the workers of `pool`.
  public var connections: Int
  /// Most bytes staged by all owners together.
  public var stagedBytesTotal: Int
  /// Most bytes staged by one owner; the cap of the `StagingAccount`s that the daemon makes.
  public var stagedBytesPerOwner: Int
  /// Threads that large attention calls share.
  public var pool: WorkerPool?
  /// Seconds after which the kept rows of a session that nobody has used or committed to are compressed; nil: never.
  public var coldAfterSeconds: Int64?
  /// Unix seconds; a test may stop it.
  public var clock: @Sendable () -> Int64
  /// How far, in committed transactions, the oldest reader may lag before commits wait for it (bounded).
  package var readerLagLimit: Int = 64
  /// For tests of power cuts: the id of the machine's boot; nil: the system's.
  package var boot: String?
  var bootOrSystems: String { boot ?? Format.currentBoot() }

  public init(
    quotaBytes: Int = 64 << 30, durability: Durability = .ordered, connections: Int = 64,
    stagedBytesTotal: Int = 2 << 30, stagedBytesPerOwner: Int = 512 << 20, pool: WorkerPool? = nil,
    coldAfterSeconds: Int64? = nil, clock: @escaping @Sendable () -> Int64 = StoreOptions.wallClock
  ) {
    self.quotaBytes = quotaBytes
    self.durability = durability
    self.connections = connections
    self.stagedBytesTotal = stagedBytesTotal
    self.stagedBytesPerOwner = stagedBytesPerOwner
    self.pool = pool
    self.coldAfterSeconds = coldAfterSeconds
    self.clock = clock
  }
}

/// 32 bytes that name a model's weights and configuration.
public struct ModelFingerprint: Sendable, Hashable {
  public static let byteCount = 32
  /// All zero: not checked.
  public static let none = ModelFingerprint(unchecked: [UInt8](repeating: 0, count: byteCount))

  public let bytes: [UInt8]

  public init?(bytes: some Collection<UInt8>) {
    guard bytes.count == Self.byteCount else { return nil }
    self.bytes = Array(bytes)
  }

  private init(unchecked bytes: [UInt8]) { self.bytes = bytes }
}
