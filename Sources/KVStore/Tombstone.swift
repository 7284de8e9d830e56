/// A deleted session whose slabs are still to be reclaimed. Key: the extent, big-endian u64. Value: magic u32 "LGTS",
/// version u32, slabs left u64; little-endian.
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

  static func decode(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) throws(StoreError)
    -> Tombstone
  {
    var input = ByteReader(value)
    guard key.count == 8, value.count == 16, input.get(UInt32.self) == magic, input.get(UInt32.self) == 1,
      let slabs = input.get(UInt64.self)
    else { throw StoreError(.corrupt, "a deleted session's record is damaged") }
    return Tombstone(
      extent: UInt64(bigEndian: key.loadUnaligned(as: UInt64.self)), slabs: Int(clamping: slabs))
  }

  static func all(_ view: borrowing ReadTransaction) throws(StoreError) -> [Tombstone] {
    var found: [Tombstone] = []
    try view.forEach(.tombstones) { key, value throws(StoreError) in
      found.append(try decode(key: key, value: value))
      return true
    }
    return found
  }

  /// Slabs of all deleted sessions that are still there.
  static func slabs(_ view: borrowing ReadTransaction) throws(StoreError) -> Int {
    try all(view).reduce(0) { $0 + $1.slabs }
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
