import CXXHash
import Glibc

/// The records of the `meta` database. Each value ends with XXH3-64 of what is before it; little-endian.
enum Format {
  static let magic: UInt32 = 0x544D_474C  // "LGMT"
  static let version: UInt16 = 1

  private static let formatKey = Array("format".utf8)
  private static let nextExtentKey = Array("next-extent".utf8)
  private static let markerKey = Array("marker".utf8)
  private static let recodingKey = Array("recoding".utf8)

  private static func sealed(_ writer: ByteWriter) -> [UInt8] {
    var writer = writer
    writer.put(writer.bytes.withUnsafeBytes { XXH3_64bits($0.baseAddress, $0.count) })
    return writer.bytes
  }

  /// - Returns: a reader of the value without its checksum; nil where there is no value.
  private static func get(
    _ key: [UInt8], _ view: borrowing ReadTransaction
  ) throws(StoreError) -> ByteReader? {
    guard let bytes = try view.get(.meta, key) else { return nil }
    let body = bytes.count - 8
    guard body >= 0,
      XXH3_64bits(bytes.baseAddress, body)
        == UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: body, as: UInt64.self))
    else {
      throw StoreError(.corrupt, "the store's record \"\(String(decoding: key, as: UTF8.self))\" is damaged")
    }
    return ByteReader(UnsafeRawBufferPointer(rebasing: bytes[..<body]))
  }

  /// - Returns: false for a new store.
  /// - Throws: `incompatible` for another version or slab size.
  static func check(_ view: borrowing ReadTransaction) throws(StoreError) -> Bool {
    guard var input = try get(formatKey, view) else { return false }
    guard input.get(UInt32.self) == magic, let found = input.get(UInt16.self),
      let slabPages = input.get(UInt16.self), let pageBytes = input.get(UInt32.self)
    else { throw StoreError(.incompatible, "not a Lagoon store") }
    guard found == version, Int(slabPages) == SlabShape.pages, Int(pageBytes) == SlabShape.pageBytes else {
      throw StoreError(
        .incompatible,
        "the store has format \(found) with slabs of \(slabPages) pages of \(pageBytes) bytes; this program"
          + " reads format \(version) with slabs of \(SlabShape.pages) pages of \(SlabShape.pageBytes) bytes")
    }
    return true
  }

  static func initialise(_ transaction: borrowing WriteTransaction) throws(StoreError) {
    var out = ByteWriter()
    out.put(magic)
    out.put(version)
    out.put(UInt16(SlabShape.pages))
    out.put(UInt32(SlabShape.pageBytes))
    try transaction.put(.meta, formatKey, sealed(out))
  }

  /// Takes the number of a new extent; numbers are never used again.
  static func takeExtent(_ transaction: borrowing WriteTransaction) throws(StoreError) -> UInt64 {
    var next: UInt64 = 1
    if var input = try get(nextExtentKey, transaction.view) {
      guard let stored = input.get(UInt64.self) else {
        throw StoreError(.corrupt, "the store's record \"next-extent\" is damaged")
      }
      guard stored < .max else {
        throw StoreError(.corrupt, "the store's record \"next-extent\" is damaged")
      }
      next = stored
    }
    var out = ByteWriter()
    out.put(next + 1)
    try transaction.put(.meta, nextExtentKey, sealed(out))
    return next
  }

  /// The extent under which a session's rows are being written anew, not any session's yet; nil: there is none.
  static func recoding(_ view: borrowing ReadTransaction) throws(StoreError) -> UInt64? {
    guard var input = try get(recodingKey, view) else { return nil }
    guard let extent = input.get(UInt64.self) else {
      throw StoreError(.corrupt, "the store's record \"recoding\" is damaged")
    }
    return extent
  }

  static func put(recoding extent: UInt64?, _ transaction: borrowing WriteTransaction) throws(StoreError) {
    guard let extent else { return try transaction.delete(.meta, recodingKey) }
    var out = ByteWriter()
    out.put(extent)
    try transaction.put(.meta, recodingKey, sealed(out))
  }

  /// Who had the store open last, and whether it was closed.
  struct Marker: Sendable, Hashable {
    var isClean: Bool
    var durability: Durability
    /// The system's boot; 36 characters on Linux.
    var boot: String

    /// The machine went down while a store was open that promises nothing then.
    func mayBeDamaged(now boot: String) -> Bool { !isClean && durability == .process && boot != self.boot }
  }

  static func marker(_ view: borrowing ReadTransaction) throws(StoreError) -> Marker? {
    guard var input = try get(markerKey, view) else { return nil }
    guard let clean = input.get(UInt8.self), let durability = input.get(UInt8.self),
      Int(durability) < Durability.allCases.count, let count = input.get(UInt16.self),
      let boot = input.get(count: Int(count))
    else { throw StoreError(.corrupt, "the store's record \"marker\" is damaged") }
    return Marker(
      isClean: clean == 1, durability: Durability.allCases[Int(durability)],
      boot: String(decoding: boot, as: UTF8.self))
  }

  static func put(_ marker: Marker, _ transaction: borrowing WriteTransaction) throws(StoreError) {
    var out = ByteWriter()
    out.put(UInt8(marker.isClean ? 1 : 0))
    out.put(UInt8(Durability.allCases.firstIndex(of: marker.durability) ?? 0))
    let boot = Array(marker.boot.utf8.prefix(64))
    out.put(UInt16(boot.count))
    out.put(boot)
    try transaction.put(.meta, markerKey, sealed(out))
  }

  /// Linux's id of this boot; empty where there is none.
  static func currentBoot() -> String {
    let descriptor = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return "" }
    defer { close(descriptor) }
    return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 64) { buffer in
      let count = read(descriptor, buffer.baseAddress, buffer.count)
      return count > 0
        ? String(decoding: buffer[..<count].filter { $0 > 0x20 }, as: UTF8.self) : ""
    }
  }
}
