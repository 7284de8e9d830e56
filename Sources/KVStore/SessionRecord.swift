import CXXHash
import LagKV

/// A session as the `sessions` database holds it. docs/format.md gives the bytes.
struct SessionRecord: Sendable, Hashable {
  static let magic: UInt32 = 0x4553_474C  // "LGSE"
  static let version: UInt16 = 1
  /// Bits of the flags.
  private static let ephemeralFlag: UInt32 = 1
  private static let recodedFlag: UInt32 = 2
  /// Everything before the name.
  static let fixedBytes = 156

  var configuration: SessionConfiguration
  /// What tells the session from others of its name before and after it.
  var extent: UInt64
  /// Where the rows are and how: under `extent` in the configuration's codec, until the session is recoded for its age.
  var rows: RowsPlace
  /// Commits so far.
  var generation: UInt64 = 0
  var tokens: Int = 0
  var tokenHash: UInt64 = TokenHash.empty
  /// The last commit that added sinks; 0: none did.
  var sinksGeneration: UInt64 = 0
  /// The last commit in which a partition was scored (and so left the window); 0: none was.
  var scoredGeneration: UInt64 = 0
  var created: Int64
  var committed: Int64
  /// Bytes of each layer's stream of kept frames; empty with the raw codec.
  var coldBytes: [Int]
  /// Bytes of each layer's stream of archive frames; empty without archive.
  var archiveBytes: [Int]

  init(configuration: SessionConfiguration, extent: UInt64, created: Int64) {
    self.configuration = configuration
    self.extent = extent
    rows = RowsPlace(extent: extent, codec: configuration.codec)
    self.created = created
    committed = created
    coldBytes = configuration.codec == .zstd ? [Int](repeating: 0, count: configuration.layers) : []
    archiveBytes = configuration.archive ? [Int](repeating: 0, count: configuration.layers) : []
  }
}

/// Under which number a session's slabs stand, and how its kept rows are coded there.
struct RowsPlace: Sendable, Hashable {
  var extent: UInt64
  var codec: Codec
}

extension SessionRecord {
  /// The same session with its rows in another place.
  func recoded(_ rows: RowsPlace) -> SessionRecord {
    var record = self
    record.rows = rows
    record.coldBytes = rows.codec == .zstd ? [Int](repeating: 0, count: configuration.layers) : []
    return record
  }

  private var isRecoded: Bool { rows != RowsPlace(extent: extent, codec: configuration.codec) }

  func encoded() -> [UInt8] {
    let c = configuration
    let name = Array(c.name.utf8)
    let exempt = c.retention.exemptLayers.sorted()
    var out = ByteWriter()
    out.put(Self.magic)
    out.put(Self.version)
    out.put(UInt16(name.count))
    out.put(UInt32(0))  // the length, below
    out.put((c.ephemeral ? Self.ephemeralFlag : 0) | (isRecoded ? Self.recodedFlag : 0))
    out.put(extent)
    out.put(generation)
    out.put(UInt64(tokens))
    out.put(tokenHash)
    out.put(sinksGeneration)
    out.put(scoredGeneration)
    out.put(created)
    out.put(committed)
    out.put(UInt16(c.layers))
    out.put(UInt16(c.kvHeads))
    out.put(UInt16(c.headDim))
    out.put(c.elementType.rawValue)
    out.put(c.retention.policy.rawValue)
    out.put(c.codec.rawValue)
    out.put(UInt8(c.archive ? 1 : 0))
    out.put(UInt16(exempt.count))
    out.put(UInt32(c.retention.sinks))
    out.put(UInt32(c.retention.lag))
    out.put(c.retention.ratio)
    out.put(c.retention.valueWeight)
    out.put(c.retention.seed)
    out.put(c.fingerprint.bytes)
    out.put(name)
    for layer in exempt { out.put(UInt16(layer)) }
    if isRecoded {
      out.put(rows.extent)
      out.put(UInt64(rows.codec.rawValue))
    }
    for bytes in coldBytes { out.put(UInt64(bytes)) }
    for bytes in archiveBytes { out.put(UInt64(bytes)) }
    out.replace(at: 8, with: UInt32(out.bytes.count + 8))
    out.put(out.bytes.withUnsafeBytes { XXH3_64bits($0.baseAddress, $0.count) })
    return out.bytes
  }

  /// - Parameter key: the record's key, the name's UTF-8 bytes.
  /// - Throws: `corrupt` for a damaged record, `incompatible` for one of another version.
  static func decode(_ bytes: UnsafeRawBufferPointer, key: [UInt8]) throws(StoreError) -> SessionRecord {
    let name = String(decoding: key, as: UTF8.self)
    func damaged(_ what: String) -> StoreError {
      StoreError(.corrupt, "the session's record is damaged: \(what)", session: name)
    }
    var input = ByteReader(bytes)
    guard input.get(UInt32.self) == magic else { throw damaged("wrong magic") }
    let version = input.get(UInt16.self)
    guard bytes.count >= fixedBytes + 8 else { throw damaged("too short") }
    let sum = UInt64(
      littleEndian: bytes.loadUnaligned(fromByteOffset: bytes.count - 8, as: UInt64.self))
    guard XXH3_64bits(bytes.baseAddress, bytes.count - 8) == sum else { throw damaged("wrong checksum") }
    guard version == Self.version else {
      throw StoreError(
        .incompatible, "the session's record has version \(version ?? 0); this program reads \(Self.version)",
        session: name)
    }
    guard let record = read(&input, key: key, count: bytes.count) else {
      throw damaged("a field is out of range")
    }
    return record
  }

  /// The fields after magic and version; nil where one is missing or out of range.
  private static func read(_ input: inout ByteReader, key: [UInt8], count: Int) -> SessionRecord? {
    guard let nameCount = input.get(UInt16.self), let length = input.get(UInt32.self),
      Int(length) == count, let flags = input.get(UInt32.self), flags & ~(ephemeralFlag | recodedFlag) == 0,
      let extent = input.get(UInt64.self), let generation = input.get(UInt64.self),
      generation < .max, let tokens = input.get(UInt64.self), tokens <= UInt64(UInt32.max),
      let tokenHash = input.get(UInt64.self), let sinksGeneration = input.get(UInt64.self),
      let scoredGeneration = input.get(UInt64.self), let created = input.get(Int64.self),
      let committed = input.get(Int64.self), let layers = input.get(UInt16.self),
      let kvHeads = input.get(UInt16.self), let headDim = input.get(UInt16.self),
      let elementType = input.get(UInt8.self).flatMap(ElementType.init(rawValue:)),
      let policy = input.get(UInt8.self).flatMap(PolicyKind.init(rawValue:)),
      let codec = input.get(UInt8.self).flatMap(Codec.init(rawValue:)),
      let archive = input.get(UInt8.self), archive <= 1, let exemptCount = input.get(UInt16.self),
      let sinks = input.get(UInt32.self), let lag = input.get(UInt32.self),
      let ratio = input.getDouble(), let valueWeight = input.getDouble(),
      let seed = input.get(UInt64.self),
      let fingerprint = input.get(count: ModelFingerprint.byteCount).flatMap(ModelFingerprint.init(bytes:)),
      let name = input.get(count: Int(nameCount)), name == key
    else { return nil }
    var exempt = Set<Int>()
    for _ in 0..<exemptCount {
      guard let layer = input.get(UInt16.self) else { return nil }
      exempt.insert(Int(layer))
    }
    guard
      let retention = try? RetentionParameters(
        policy: policy, sinks: Int(sinks), lag: Int(lag), ratio: ratio, valueWeight: valueWeight, seed: seed,
        exemptLayers: exempt),
      let configuration = try? SessionConfiguration(
        name: String(decoding: key, as: UTF8.self), layers: Int(layers), kvHeads: Int(kvHeads),
        headDim: Int(headDim), elementType: elementType, retention: retention, archive: archive == 1,
        codec: codec, ephemeral: flags & ephemeralFlag != 0, fingerprint: fingerprint)
    else { return nil }
    var record = SessionRecord(configuration: configuration, extent: extent, created: created)
    record.generation = generation
    record.tokens = Int(tokens)
    record.tokenHash = tokenHash
    record.sinksGeneration = sinksGeneration
    record.scoredGeneration = scoredGeneration
    record.committed = committed
    if flags & recodedFlag != 0 {
      guard configuration.canBeCold, let extent = input.get(UInt64.self),
        let codec = input.get(UInt64.self).flatMap({ UInt8(exactly: $0) }).flatMap(Codec.init(rawValue:)),
        codec == .raw || codec == .zstd
      else { return nil }
      record = record.recoded(RowsPlace(extent: extent, codec: codec))
    }
    for i in record.coldBytes.indices {
      guard let bytes = input.get(UInt64.self), bytes < 1 << 48 else { return nil }
      record.coldBytes[i] = Int(bytes)
    }
    for i in record.archiveBytes.indices {
      guard let bytes = input.get(UInt64.self), bytes < 1 << 48 else { return nil }
      record.archiveBytes[i] = Int(bytes)
    }
    return input.remaining == 8 ? record : nil
  }
}
