import LagKV

/// Rows of one or more KV heads that lie in memory with one stride, for example one slab of the store.
///
/// Row `r` of head `h` (an index among all KV heads) starts at `(h - heads.lowerBound) * headStrideBytes +
/// r * headDim * elementType.byteCount` from `keys` and from `values`, at any alignment.
///
/// Sendable by `@unchecked`, because of its pointers: it only describes memory. Whoever makes it keeps that
/// memory alive and unchanged for as long as the block is used, on whatever thread; this module only reads it.
public struct KeyValueBlock: @unchecked Sendable {
  public let keys: UnsafeRawPointer
  public let values: UnsafeRawPointer
  public let heads: Range<Int>
  public let headStrideBytes: Int
  public let rows: Int
  public let elementType: ElementType
  /// Nil: every query sees every row. Otherwise row `r` stands at `firstPosition + r`, and queries at that
  /// position or later see it.
  public let firstPosition: Int?

  public init(
    keys: UnsafeRawPointer, values: UnsafeRawPointer, heads: Range<Int>, headStrideBytes: Int, rows: Int,
    elementType: ElementType, firstPosition: Int? = nil
  ) {
    self.keys = keys
    self.values = values
    self.heads = heads
    self.headStrideBytes = headStrideBytes
    self.rows = rows
    self.elementType = elementType
    self.firstPosition = firstPosition
  }
}
