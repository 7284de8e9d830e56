/// How a session's rows lie in slabs. docs/format.md describes the layout byte by byte.
///
/// A slab value is `headerBytes` of header and position table, then `rowAreaBytes` of rows as
/// `[K|V][head][slot][headDim]`. Where a row of all heads does not fit, the heads are cut into groups.
struct SlabShape: Sendable, Hashable {
  static let pageBytes = 4096
  static let pages = 17
  /// What a slab takes in the file.
  static let storedBytes = pages * pageBytes
  /// LMDB puts a large value this far into its first page.
  static let valueOffset = 16
  /// Size of the LMDB value.
  static let valueBytes = storedBytes - valueOffset
  /// Header and position table; the rows after them are page-aligned in the map.
  static let headerBytes = pageBytes - valueOffset
  static let fixedHeaderBytes = 112
  static let rowAreaBytes = 65_536
  static let tableBytes = headerBytes - fixedHeaderBytes

  let kvHeads: Int
  let headDim: Int
  let elementBytes: Int
  let headsPerGroup: Int
  let groups: Int
  /// Rows per head in one slab.
  let slots: Int

  /// - Throws: `tooLarge` where one row of one head does not fit a slab.
  init(kvHeads: Int, headDim: Int, elementBytes: Int) throws(StoreError) {
    let headBytes = 2 * headDim * elementBytes
    let most = min(Self.rowAreaBytes / headBytes, Self.tableBytes / 4)
    guard most >= 1 else {
      throw StoreError(
        .tooLarge, "one head's row takes \(headBytes) bytes; a slab has \(Self.rowAreaBytes) bytes of rows")
    }
    self.kvHeads = kvHeads
    self.headDim = headDim
    self.elementBytes = elementBytes
    groups = (kvHeads + most - 1) / most
    headsPerGroup = (kvHeads + groups - 1) / groups
    slots = min(Self.rowAreaBytes / (headBytes * headsPerGroup), Self.tableBytes / (4 * headsPerGroup))
  }

  /// Bytes of one row of one head.
  var rowBytes: Int { headDim * elementBytes }
  /// Bytes from one head's rows to the next one's.
  var headStride: Int { slots * rowBytes }

  func heads(of group: Int) -> Range<Int> {
    group * headsPerGroup..<min(kvHeads, (group + 1) * headsPerGroup)
  }
  func group(of head: Int) -> Int { head / headsPerGroup }

  /// Slabs (of each group) that `rows` rows take.
  func slabs(_ rows: Int) -> Int { (rows + slots - 1) / slots }
}

/// Reads rows of one slab value, wherever it lies: in the map or in a staging buffer.
///
/// The pointer must stay valid while the view is used, which the scopes of `ReadTransaction` and the owners of
/// `SlabBuffer` see to. Row and head indices are the caller's duty; all come from checked row counts.
struct SlabView {
  let value: UnsafeRawPointer
  let shape: SlabShape
  /// The heads that the slab holds, by their number in the session.
  let heads: Range<Int>

  /// K rows of `head`, row 0 first.
  func keys(_ head: Int) -> UnsafeRawPointer {
    value + SlabShape.headerBytes + (head - heads.lowerBound) * shape.headStride
  }
  func values(_ head: Int) -> UnsafeRawPointer {
    value + SlabShape.headerBytes + (heads.count + head - heads.lowerBound) * shape.headStride
  }
  /// Absolute positions of `head`'s rows (kept slabs).
  func positions(_ head: Int) -> UnsafePointer<UInt32> {
    (value + SlabShape.fixedHeaderBytes).assumingMemoryBound(to: UInt32.self)
      + (head - heads.lowerBound) * shape.slots
  }
}
