import LagKV

/// What a session is, fixed when it is made.
public struct SessionConfiguration: Sendable, Hashable {
  /// 1...255 UTF-8 bytes without control characters.
  public let name: String
  /// 1...1024
  public let layers: Int
  /// 1...1024
  public let kvHeads: Int
  /// 1...1024
  public let headDim: Int
  public let elementType: ElementType
  public let retention: RetentionParameters
  /// Also keep every partition whole (zstd).
  public let archive: Bool
  /// Of kept rows.
  public let codec: Codec
  /// Gone when the client that made it is, at the latest when the store is closed or opened again.
  public let ephemeral: Bool
  public let fingerprint: ModelFingerprint

  /// - Throws: `invalidArgument` for a bad name or size, `tooLarge` where the rows could not be stored.
  public init(
    name: String, layers: Int, kvHeads: Int, headDim: Int, elementType: ElementType,
    retention: RetentionParameters, archive: Bool = false, codec: Codec = .raw,
    ephemeral: Bool = false, fingerprint: ModelFingerprint = .none
  ) throws(StoreError) {
    try Self.validate(name: name)
    for (what, value) in [("layers", layers), ("kvHeads", kvHeads), ("headDim", headDim)]
    where !(1...1024).contains(value) {
      throw StoreError(.invalidArgument, "\(what) is \(value); it must be in 1...1024", session: name)
    }
    if let layer = retention.exemptLayers.first(where: { !(0..<layers).contains($0) }) {
      throw StoreError(
        .invalidArgument, "exempt layer \(layer) does not exist: the session has \(layers) layers",
        session: name)
    }
    let partitionBytes = Self.partitionBytes(kvHeads, headDim, elementType, retention)
    if archive || codec == .zstd, partitionBytes > Self.largestFrame {
      throw StoreError(
        .tooLarge,
        "a partition of one layer takes \(partitionBytes) bytes; zstd and archive sessions store partitions as"
          + " frames of at most \(Self.largestFrame) bytes: use a smaller lag or the raw codec without archive",
        session: name)
    }
    if archive, codec == .q8 {
      throw StoreError(
        .invalidArgument,
        "an archive is for attention as it was, to the bit, and q8 rounds what is kept: choose raw or zstd, or no archive",
        session: name)
    }
    self.name = name
    self.layers = layers
    self.kvHeads = kvHeads
    self.headDim = headDim
    self.elementType = elementType
    self.retention = retention
    self.archive = archive
    self.codec = codec
    self.ephemeral = ephemeral
    self.fingerprint = fingerprint
  }

  /// Most bytes of rows in one compressed frame.
  static let largestFrame = 64 << 20

  /// At most 1024·1024·4·2 bytes a row and 65,536 rows: fits 64 bits with room.
  private static func partitionBytes(
    _ kvHeads: Int, _ headDim: Int, _ elementType: ElementType, _ retention: RetentionParameters
  ) -> Int { 2 * kvHeads * headDim * elementType.byteCount * retention.lag }

  /// Whether the kept rows may be compressed while nobody uses the session.
  var canBeCold: Bool {
    codec == .raw && !archive && !ephemeral
      && (0..<layers).contains { retention.keptPerPartition(layer: $0) > 0 }
      && Self.partitionBytes(kvHeads, headDim, elementType, retention) <= Self.largestFrame
  }

  static func validate(name: String) throws(StoreError) {
    guard (1...255).contains(name.utf8.count) else {
      throw StoreError(
        .invalidArgument, "a session's name has 1...255 UTF-8 bytes; this one has \(name.utf8.count)")
    }
    guard !name.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else {
      throw StoreError(.invalidArgument, "a session's name must not hold control characters")
    }
  }
}

/// Where a session stands.
public struct SessionState: Sendable, Hashable {
  public var configuration: SessionConfiguration
  /// Committed tokens; the same in every layer.
  public var tokens: Int
  /// See `TokenHash`.
  public var tokenHash: UInt64
  /// Commits so far.
  public var generation: UInt64
  /// Bytes of the file that the session's slabs take.
  public var storedBytes: Int
  public var hasWriter: Bool
  /// Unix seconds.
  public var created: Int64
  public var committed: Int64
}

/// Where one layer of a session stands.
public struct LayerState: Sendable, Hashable {
  public var layer: Int
  public var tokens: Int
  /// Per head, the window's rows not counted.
  public var keptRows: Int
  public var windowRows: Int
  /// Bytes of the file that the layer's slabs take, archive included.
  public var storedBytes: Int
  /// Of which archive.
  public var archiveBytes: Int
  public var codec: Codec
}

/// What a client expects of a session that it opens.
public struct SessionExpectation: Sendable {
  /// nil: not checked.
  public var fingerprint: ModelFingerprint?
  /// The client's first `tokens` tokens and their rolling hash; checked when the session stands there.
  public var prefix: (tokens: Int, hash: UInt64)?

  public init(fingerprint: ModelFingerprint? = nil, prefix: (tokens: Int, hash: UInt64)? = nil) {
    self.fingerprint = fingerprint
    self.prefix = prefix
  }
}
