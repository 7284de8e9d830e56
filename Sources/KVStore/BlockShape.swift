import SparseAttention

/// How the kept rows of one layer lie in slabs of blocks (q8 codec): the rows of a head that one partition left, in as many equal
/// blocks as needed, head by head, block by block, partition by partition. None crosses a slab's end.
///
/// A block is the rows' positions, u32, then an ``EightBitBlock``, up to a multiple of 64 bytes.
struct BlockShape: Sendable, Hashable {
  let kvHeads: Int
  let headDim: Int
  /// Rows that a partition leaves.
  let kept: Int
  /// Rows of a block; the last one of a partition and head may have fewer.
  let rows: Int
  /// Blocks of a partition and head.
  let parts: Int
  let bytes: Int
  let perSlab: Int

  /// More rows in a block would share a channel's scale without making the block much smaller.
  private static let mostRows = 128

  /// - Parameter kept: at least 1.
  init(kvHeads: Int, headDim: Int, kept: Int) {
    self.kvHeads = kvHeads
    self.headDim = headDim
    self.kept = kept
    // 1024 channels and one row take 6 KiB, so a slab always holds a block.
    var most = min(kept, Self.mostRows)
    while Self.bytes(rows: most, headDim) > SlabShape.rowAreaBytes { most -= 1 }
    parts = (kept + most - 1) / most
    rows = (kept + parts - 1) / parts
    bytes = Self.bytes(rows: rows, headDim)
    perSlab = SlabShape.rowAreaBytes / bytes
  }

  private static func bytes(rows: Int, _ headDim: Int) -> Int {
    (4 * rows + EightBitBlock.byteCount(rows: rows, headDim: headDim) + 63) & ~63
  }

  /// Blocks of all heads that a partition leaves.
  var perPartition: Int { parts * kvHeads }

  func slabs(partitions: Int) -> Int { (partitions * perPartition + perSlab - 1) / perSlab }

  /// What block `number` holds.
  func block(_ number: Int) -> Block {
    let (partition, rest) = number.quotientAndRemainder(dividingBy: perPartition)
    let (part, head) = rest.quotientAndRemainder(dividingBy: kvHeads)
    return Block(
      partition: partition, head: head, firstRow: part * rows, rows: min(rows, kept - part * rows))
  }

  struct Block {
    var partition: Int
    var head: Int
    /// Of those that the partition left of the head.
    var firstRow: Int
    var rows: Int
  }

  /// Block `i` of a slab.
  func place(_ i: Int, of slab: UnsafeRawPointer, _ block: Block) -> BlockPlace {
    let start = slab + SlabShape.headerBytes + i * bytes
    return BlockPlace(
      positions: start.assumingMemoryBound(to: UInt32.self),
      rows: EightBitBlock(bytes: start + 4 * block.rows, head: block.head, rows: block.rows))
  }
}

/// Where a block lies. Valid as long as the snapshot (or the staged slabs) that it was made from.
struct BlockPlace {
  /// Absolute, one for each row.
  var positions: UnsafePointer<UInt32>
  var rows: EightBitBlock
}
