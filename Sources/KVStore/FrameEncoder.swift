import Kernels

/// Compresses rows of a partition, all heads, to frames (see `FrameDecoder` for their content). Confined to whoever owns it.
final class FrameEncoder {
  private var compressor: ZstdCompressor?
  private var elements = ScratchMemory()
  private var content = ScratchMemory()

  /// One compressed frame.
  ///
  /// - Parameters:
  ///   - rows: of each head; 1 or more.
  ///   - fill: writes positions `[head][row]` and rows `[K|V][head][row][headDim]`, all of them.
  func frame(
    _ shape: SlabShape, rows: Int,
    _ fill: (_ positions: UnsafeMutablePointer<UInt32>, _ elements: UnsafeMutableRawPointer)
      throws(StoreError) -> Void
  ) throws(StoreError) -> [UInt8] {
    let rowArea = elements.take(2 * shape.kvHeads * rows * shape.rowBytes)
    let whole = content.take(FrameDecoder.contentBytes(shape, rows: rows))
    guard let rowBase = rowArea.baseAddress, let base = whole.baseAddress else {
      throw StoreError(.internal, "an empty frame")
    }
    try fill(base.assumingMemoryBound(to: UInt32.self), rowBase)
    lagoon_split_planes(
      rowBase, shape.elementBytes, rowArea.count / shape.elementBytes, base + shape.kvHeads * rows * 4)
    return try zstd().compress(UnsafeRawBufferPointer(whole))
  }

  private func zstd() throws(StoreError) -> ZstdCompressor {
    if let compressor { return compressor }
    let made = try ZstdCompressor()
    compressor = made
    return made
  }
}
