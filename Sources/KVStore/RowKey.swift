import CLMDB

/// What a record of the `rows` database holds.
enum RowKind: UInt8, Sendable, CaseIterable {
  /// Slabs of the kept row stream: sinks, then the selected rows of partitions 0, 1, 2… (raw codec) or the sinks alone
  /// (other codecs).
  case kept = 1
  /// Slabs of a partition of the window.
  case window = 2
  /// The stream of frames that hold every partition whole.
  case archive = 3
  /// The stream of frames that hold the selected rows of partitions (zstd codec).
  case coldKept = 4
  /// Slabs of blocks of 8 bits that hold the selected rows of partitions (q8 codec).
  case blocks = 5

  var holdsFrames: Bool { self == .archive || self == .coldKept }
}

/// The key of a record that holds rows: big-endian (extent u64, kind u8, index u64, layer u16, group u16), 21 bytes.
///
/// `index` stands before `layer` so that the tails of all layers, which every commit touches, are neighbours:
/// docs/decisions/0003-row-keys.md has the count of pages both ways.
struct RowKey: Hashable, Sendable, Comparable {
  static let byteCount = 21

  var extent: UInt64
  var kind: RowKind
  var index: Int
  var layer: Int
  var group: Int

  /// The lowest key of an extent.
  static func start(of extent: UInt64) -> [UInt8] {
    withUnsafeBytes(of: extent.bigEndian) { Array($0) } + [UInt8](repeating: 0, count: byteCount - 8)
  }

  /// Calls `body` with the key's bytes.
  func withBytes<R>(_ body: (inout MDB_val) -> R) -> R {
    withUnsafeTemporaryAllocation(byteCount: Self.byteCount, alignment: 8) { buffer in
      buffer.storeBytes(of: extent.bigEndian, as: UInt64.self)
      buffer.storeBytes(of: kind.rawValue, toByteOffset: 8, as: UInt8.self)
      buffer.storeBytes(of: UInt64(index).bigEndian, toByteOffset: 9, as: UInt64.self)
      buffer.storeBytes(of: UInt16(layer).bigEndian, toByteOffset: 17, as: UInt16.self)
      buffer.storeBytes(of: UInt16(group).bigEndian, toByteOffset: 19, as: UInt16.self)
      var value = MDB_val(mv_size: Self.byteCount, mv_data: buffer.baseAddress)
      return body(&value)
    }
  }

  init(extent: UInt64, kind: RowKind, index: Int, layer: Int, group: Int) {
    self.extent = extent
    self.kind = kind
    self.index = index
    self.layer = layer
    self.group = group
  }

  /// nil unless the bytes are a key of the right length with a known kind.
  init?(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count == Self.byteCount else { return nil }
    func load<T: FixedWidthInteger>(_ offset: Int, _: T.Type) -> T {
      T(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
    }
    guard let kind = RowKind(rawValue: bytes[8]), let index = Int(exactly: load(9, UInt64.self)) else {
      return nil
    }
    self.init(
      extent: load(0, UInt64.self), kind: kind, index: index, layer: Int(load(17, UInt16.self)),
      group: Int(load(19, UInt16.self)))
  }

  /// The order of the bytes.
  static func < (a: RowKey, b: RowKey) -> Bool {
    (a.extent, a.kind.rawValue, a.index, a.layer, a.group)
      < (b.extent, b.kind.rawValue, b.index, b.layer, b.group)
  }
}
