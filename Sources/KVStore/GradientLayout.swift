import Glibc

/// Where a layer's accumulators lie in the scratch file, f32: two partitions of the window, which partitions use in turns, keys
/// and then values, `[kvHeads, lag, headDim]` each; then blocks of as many rows of the kept stream as a slab has, each of keys
/// and then values, `[kvHeads, slots, headDim]`. The rows of a slab stay together, so do blocks that follow each other, and each
/// block is whole pages: any part of the kept stream can be had without the rest.
struct GradientLayout {
  let kvHeads: Int
  let headDim: Int
  let keptRows: Int
  let lag: Int
  /// Rows of a block.
  let slots: Int

  init(_ plan: LayerPlan, tokens: Int) {
    kvHeads = plan.shape.kvHeads
    headDim = plan.shape.headDim
    keptRows = plan.keptRows(tokens)
    lag = plan.lag
    slots = plan.shape.slots
  }

  private var rowBytes: Int { headDim * 4 }
  /// Of keys or values; at most 2⁴⁸.
  private var partitionBytes: Int { kvHeads * lag * rowBytes }
  private var planeBytes: Int { kvHeads * slots * rowBytes }

  private static func wholePages(_ bytes: Int) -> Int {
    (bytes + SlabShape.pageBytes - 1) / SlabShape.pageBytes * SlabShape.pageBytes
  }

  /// Of the window's two partitions.
  var windowBytes: Int { Self.wholePages(4 * partitionBytes) }
  var blockBytes: Int { Self.wholePages(2 * planeBytes) }
  var blocks: Int { (keptRows + slots - 1) / slots }

  /// Bytes of the layer; nil: more than can be counted.
  var byteCount: Int? {
    (CheckedSize(windowBytes) + CheckedSize(blocks) * CheckedSize(blockBytes)).value
  }

  /// The bytes of some blocks, from the layer's first byte.
  func bytes(of blocks: Range<Int>) -> Range<Int> {
    windowBytes + blocks.lowerBound * blockBytes..<windowBytes + blocks.upperBound * blockBytes
  }

  /// Rows that lie together, by head.
  struct Rows {
    let keys: UnsafeMutableRawPointer
    let values: UnsafeMutableRawPointer
    /// Bytes.
    let headStride: Int

    /// From row `row` of head `head` on.
    func from(_ row: Int, head: Int, rowBytes: Int) -> Rows {
      let offset = head * headStride + row * rowBytes
      return Rows(keys: keys + offset, values: values + offset, headStride: headStride)
    }
  }

  /// From row `row` of the kept stream on, to the end of its block.
  ///
  /// - Parameter base: of the layer, of `byteCount` bytes.
  func kept(_ row: Int, _ base: UnsafeMutableRawPointer) -> Rows {
    let (block, offset) = row.quotientAndRemainder(dividingBy: slots)
    let keys = base + bytes(of: block..<block).lowerBound + offset * rowBytes
    return Rows(keys: keys, values: keys + planeBytes, headStride: slots * rowBytes)
  }

  /// Of the partitions whose number is like `partition` even or odd.
  func window(_ partition: Int, _ base: UnsafeMutableRawPointer) -> Rows {
    let first = base + partition % 2 * 2 * partitionBytes
    return Rows(keys: first, values: first + partitionBytes, headStride: lag * rowBytes)
  }

  func clearWindow(_ partition: Int, _ base: UnsafeMutableRawPointer) {
    memset(window(partition, base).keys, 0, 2 * partitionBytes)
  }
}
