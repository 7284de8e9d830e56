/// Where the gradients of one ``KeyValueBlock`` accumulate: f32, row `r` of the block's head `h` (an index
/// among all KV heads) at `(h - heads.lowerBound) * headStrideBytes + r * headDim * 4` from `dKeys` and from
/// `dValues`, at any alignment.
///
/// Sendable by `@unchecked`, because of its pointers: it only describes memory. Whoever makes it keeps that
/// memory alive for as long as it is used, on whatever thread, and meanwhile leaves it alone. No two rows of
/// one call share memory: not two rows of a block, not rows of two blocks.
public struct KeyValueGradient: @unchecked Sendable {
  public let dKeys: UnsafeMutableRawPointer
  public let dValues: UnsafeMutableRawPointer
  /// At least `rows * headDim * 4` of the block, if it holds several heads.
  public let headStrideBytes: Int

  public init(dKeys: UnsafeMutableRawPointer, dValues: UnsafeMutableRawPointer, headStrideBytes: Int) {
    self.dKeys = dKeys
    self.dValues = dValues
    self.headStrideBytes = headStrideBytes
  }
}
