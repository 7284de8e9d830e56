/// A deleted session whose slabs are still to be reclaimed. Key: the extent, big-endian u64. Value: magic u32 "LGTS",
/// version u32, slabs left u64; little-endian. The key alone says what is to be reclaimed; the value, which has no checksum, is for
/// counting.
struct Tombstone: Sendable, Hashable {
  static let magic: UInt32 = 0x5354_474C
  var extent: UInt64
  var slabs: Int

  static func key(_ extent: UInt64) -> [UInt8] { withUnsafeBytes(of: extent.bigEndian) { Array($0) } }

  func encoded() -> [UInt8] {
    var out = ByteWriter()
    out.put(Self.magic)
    out.put(UInt32(1))
    out.put(UInt64(slabs))
    return out.bytes
  }

  func put(_ transaction: borrowing WriteTransaction) throws(StoreError) {
    try transaction.put(.tombstones, Self.key(extent), encoded())
  }

  /// Slabs left as a value has it; nil where it is damaged.
  private static func slabs(_ value: UnsafeRawBufferPointer) -> Int? {
    var input = ByteReader(value)
    guard value.count == 16, input.get(UInt32.self) == magic, input.get(UInt32.self) == 1,
      let slabs = input.get(UInt64.self), slabs <= UInt64(StoreOptions.largestQuota / SlabShape.storedBytes)
    else { return nil }
    return Int(slabs)
  }

  /// All of them, those whose value is damaged with no slabs left.
  ///
  /// - Parameter onDamage: called for each damaged record.
  static func all(
    _ view: borrowing ReadTransaction, onDamage: () -> Void = {}
  ) throws(StoreError) -> [Tombstone] {
    var found: [Tombstone] = []
    try view.forEach(.tombstones) { key, value in
      let slabs = slabs(value)
      if slabs == nil || key.count != 8 { onDamage() }
      if key.count == 8 {
        found.append(
          Tombstone(extent: UInt64(bigEndian: key.loadUnaligned(as: UInt64.self)), slabs: slabs ?? 0))
      }
      return true
    }
    return found
  }

  /// Slabs of all deleted sessions that are still there; not more than there are slabs.
  static func slabs(_ view: borrowing ReadTransaction) throws(StoreError) -> Int {
    let counted = try all(view).reduce(0) { $0 + $1.slabs }
    return min(counted, view.size(.rows).overflowPages / SlabShape.pages)
  }

  /// Deletes at most `limit` slabs of deleted sessions, and the tombstones of those of which none is left.
  ///
  /// - Returns: whether there may be more.
  static func reclaim(
    _ transaction: borrowing WriteTransaction, limit: Int
  ) throws(StoreError) -> Bool {
    var freed = 0
    for var tombstone in try all(transaction.view) {
      if freed == limit { return true }
      let asked = limit - freed
      let deleted = try transaction.deleteRows(of: tombstone.extent, limit: asked)
      freed += deleted
      if deleted < asked {
        try transaction.delete(.tombstones, key(tombstone.extent))
      } else {
        tombstone.slabs = max(0, tombstone.slabs - deleted)
        try tombstone.put(transaction)
      }
    }
    return freed == limit
  }
}
