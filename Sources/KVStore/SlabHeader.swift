import CXXHash
import LagKV

/// The first 112 bytes of a slab value, little-endian. docs/format.md gives the offsets.
struct SlabHeader: Hashable, Sendable {
  static let magic: UInt32 = 0x4C53_474C  // "LGSL"
  static let version: UInt16 = 1
  static let checksumOffset = 104

  var key: RowKey
  var elementType: ElementType
  var codec: Codec
  var heads: Range<Int>
  var headDim: Int
  /// Rows per head that fit; in slabs of blocks rows per block; 0 in slabs of frames.
  var slots: Int
  /// The commit of the session, counted from 1, that wrote the slab.
  var generation: UInt64
  /// kept: row of the stream; window: absolute position; blocks: number of the first one; frames: number of the first frame
  /// that starts here or later.
  var first: Int
  /// Rows, or blocks, in use; frames: how many start here.
  var count: Int
  /// Bytes of the frame stream, or of the blocks, in this slab; 0 in slabs of rows.
  var payloadBytes: Int
  /// The partition of a window slab; else 0.
  var partition: Int

  /// Writes all 112 bytes, the checksum as zero.
  func write(to value: UnsafeMutableRawPointer) {
    func store(_ field: some FixedWidthInteger, _ offset: Int) {
      withUnsafeBytes(of: field.littleEndian) {
        (value + offset).copyMemory(from: $0.baseAddress!, byteCount: $0.count)
      }
    }
    value.initializeMemory(as: UInt8.self, repeating: 0, count: SlabShape.fixedHeaderBytes)
    store(Self.magic, 0)
    store(Self.version, 4)
    store(key.kind.rawValue, 6)
    store(elementType.rawValue, 7)
    store(key.extent, 8)
    store(UInt64(key.index), 16)
    store(UInt16(key.layer), 24)
    store(UInt16(key.group), 26)
    store(codec.rawValue, 28)
    store(UInt16(heads.lowerBound), 30)
    store(UInt16(heads.count), 32)
    store(UInt16(headDim), 34)
    store(UInt32(slots), 36)
    store(generation, 40)
    store(UInt64(first), 48)
    store(UInt32(count), 56)
    store(UInt32(payloadBytes), 60)
    store(UInt64(partition), 64)
  }

  /// nil where magic, version or a field's range is wrong.
  init?(_ value: UnsafeRawPointer) {
    func load<T: FixedWidthInteger>(_ offset: Int, _: T.Type) -> T {
      T(littleEndian: value.loadUnaligned(fromByteOffset: offset, as: T.self))
    }
    guard load(0, UInt32.self) == Self.magic, load(4, UInt16.self) == Self.version,
      let kind = RowKind(rawValue: load(6, UInt8.self)),
      let elementType = ElementType(rawValue: load(7, UInt8.self)),
      let index = Int(exactly: load(16, UInt64.self)),
      let codec = Codec(rawValue: load(28, UInt8.self)),
      let first = Int(exactly: load(48, UInt64.self)),
      let partition = Int(exactly: load(64, UInt64.self))
    else { return nil }
    key = RowKey(
      extent: load(8, UInt64.self), kind: kind, index: index, layer: Int(load(24, UInt16.self)),
      group: Int(load(26, UInt16.self)))
    self.elementType = elementType
    self.codec = codec
    let firstHead = Int(load(30, UInt16.self))
    heads = firstHead..<firstHead + Int(load(32, UInt16.self))
    headDim = Int(load(34, UInt16.self))
    slots = Int(load(36, UInt32.self))
    generation = load(40, UInt64.self)
    self.first = first
    count = Int(load(56, UInt32.self))
    payloadBytes = Int(load(60, UInt32.self))
    self.partition = partition
  }

  init(
    key: RowKey, elementType: ElementType, codec: Codec, heads: Range<Int>, headDim: Int, slots: Int,
    generation: UInt64, first: Int, count: Int, payloadBytes: Int = 0, partition: Int = 0
  ) {
    self.key = key
    self.elementType = elementType
    self.codec = codec
    self.heads = heads
    self.headDim = headDim
    self.slots = slots
    self.generation = generation
    self.first = first
    self.count = count
    self.payloadBytes = payloadBytes
    self.partition = partition
  }
}

extension SlabHeader {
  /// XXH3-64 of what the slab holds: header bytes 0..<104, then for rows the positions in use head by head (kept slabs)
  /// and the rows in use (K by head, V by head), for frames the directory entries and the payload, for blocks the payload.
  ///
  /// - Parameter value: a whole slab value; the fields of `self` must have been checked against the shape.
  func checksum(of value: UnsafeRawPointer) -> UInt64 {
    guard let state = XXH3_createState() else { return 0 }
    defer { XXH3_freeState(state) }
    XXH3_64bits_reset(state)
    lagoon_hash_update(state, value, Self.checksumOffset)
    let table = value + SlabShape.fixedHeaderBytes
    let rows = value + SlabShape.headerBytes
    if key.kind == .blocks {
      lagoon_hash_update(state, rows, payloadBytes)
    } else if key.kind.holdsFrames {
      lagoon_hash_update(state, table, count * FrameDirectory.entryBytes)
      lagoon_hash_update(state, rows, payloadBytes)
    } else {
      if key.kind == .kept {
        for head in 0..<heads.count {
          lagoon_hash_update(state, table + head * slots * 4, count * 4)
        }
      }
      let rowBytes = headDim * elementType.byteCount
      for plane in 0..<2 * heads.count {
        lagoon_hash_update(state, rows + plane * slots * rowBytes, count * rowBytes)
      }
    }
    return XXH3_64bits_digest(state)
  }

  static func storedChecksum(_ value: UnsafeRawPointer) -> UInt64 {
    UInt64(littleEndian: value.loadUnaligned(fromByteOffset: checksumOffset, as: UInt64.self))
  }

  /// Writes the header, clears what is not in use (so that a file depends on what was stored alone), then the checksum.
  ///
  /// - Parameter value: a whole slab value whose rows (and positions or directory and payload) are in place.
  func seal(_ value: UnsafeMutableRawPointer) {
    func clear(_ offset: Int, _ count: Int) {
      if count > 0 { (value + offset).initializeMemory(as: UInt8.self, repeating: 0, count: count) }
    }
    write(to: value)
    if key.kind.holdsFrames || key.kind == .blocks {
      let entries = key.kind.holdsFrames ? count * FrameDirectory.entryBytes : 0
      let used = SlabShape.fixedHeaderBytes + entries
      clear(used, SlabShape.headerBytes - used)
      clear(SlabShape.headerBytes + payloadBytes, SlabShape.rowAreaBytes - payloadBytes)
    } else {
      var used = SlabShape.fixedHeaderBytes
      if key.kind == .kept {
        for head in 0..<heads.count {
          clear(used + (head * slots + count) * 4, (slots - count) * 4)
        }
        used += heads.count * slots * 4
      }
      clear(used, SlabShape.headerBytes - used)
      let rowBytes = headDim * elementType.byteCount
      for plane in 0..<2 * heads.count {
        clear(SlabShape.headerBytes + (plane * slots + count) * rowBytes, (slots - count) * rowBytes)
      }
      let end = 2 * heads.count * slots * rowBytes
      clear(SlabShape.headerBytes + end, SlabShape.rowAreaBytes - end)
    }
    let sum = checksum(of: value).littleEndian
    withUnsafeBytes(of: sum) {
      (value + Self.checksumOffset).copyMemory(from: $0.baseAddress!, byteCount: 8)
    }
  }
}
