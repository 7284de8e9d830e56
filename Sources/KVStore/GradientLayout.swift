import Glibc

/// Where a layer's accumulators lie in the scratch file: f32, for keys and then values, `[kvHeads, rows, headDim]`; first for
/// every row of the kept stream, then for two partitions of the window, which partitions use in turns.
struct GradientLayout {
  let kvHeads: Int
  let headDim: Int
  let keptRows: Int
  let lag: Int

  private var rowBytes: Int { headDim * 4 }
  private var keptBytes: Int { kvHeads * keptRows * rowBytes }
  private var windowBytes: Int { kvHeads * lag * rowBytes }

  /// Bytes of the layer; nil: more than can be counted.
  var byteCount: Int? {
    let rows = (CheckedSize(keptRows) + CheckedSize(2) * CheckedSize(lag)) * CheckedSize(2)
    return (rows * CheckedSize(kvHeads) * CheckedSize(rowBytes)).value
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

  /// - Parameter base: of the layer, of `byteCount` bytes.
  func kept(_ base: UnsafeMutableRawPointer) -> Rows {
    Rows(keys: base, values: base + keptBytes, headStride: keptRows * rowBytes)
  }

  /// Of the partitions whose number is like `partition` even or odd.
  func window(_ partition: Int, _ base: UnsafeMutableRawPointer) -> Rows {
    let first = base + 2 * keptBytes + partition % 2 * 2 * windowBytes
    return Rows(keys: first, values: first + windowBytes, headStride: lag * rowBytes)
  }

  func clearWindow(_ partition: Int, _ base: UnsafeMutableRawPointer) {
    memset(window(partition, base).keys, 0, 2 * windowBytes)
  }
}
