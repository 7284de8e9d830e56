import Kernels
import LagKV

/// Some rows of one KV head in 8 bits an element, keys with a zero and a scale for each channel, values for each row (as KIVI does,
/// arXiv 2402.02750); `Kernels.h` gives the bytes.
///
/// Sendable by `@unchecked`, because of its pointer: it only describes memory, as ``KeyValueBlock`` does.
public struct EightBitBlock: @unchecked Sendable {
  public let bytes: UnsafeRawPointer
  public let head: Int
  public let rows: Int

  public init(bytes: UnsafeRawPointer, head: Int, rows: Int) {
    self.bytes = bytes
    self.head = head
    self.rows = rows
  }

  /// Bytes of a block.
  public static func byteCount(rows: Int, headDim: Int) -> Int { lagoon_q8_bytes(rows, headDim) }

  /// Writes the block of `rows` rows `[rows, headDim]`, each contiguous and finite, to `target`: ``byteCount(rows:headDim:)`` bytes.
  public static func pack(
    keys: UnsafeRawPointer, values: UnsafeRawPointer, elementType: ElementType, rows: Int, headDim: Int,
    to target: UnsafeMutableRawPointer
  ) {
    lagoon_q8_pack(keys, values, elementType.rawValue, rows, headDim, target)
  }

  /// Writes what the block stands for to `keys` and `values`, `[rows, headDim]` each.
  public func unpack(
    _ elementType: ElementType, headDim: Int, keys: UnsafeMutableRawPointer, values: UnsafeMutableRawPointer
  ) {
    lagoon_q8_unpack(bytes, rows, headDim, elementType.rawValue, keys, values)
  }
}
