/// One tensor of a mapped file: its type, its shape and its bytes, row-major and little-endian.
///
/// The slice keeps the mapping alive. The bytes have no alignment beyond one: read them with `loadUnaligned` or copy them.
public struct TensorSlice: Sendable {
  public let name: String
  public let dtype: TensorDtype
  /// Extent of each dimension, slowest first; empty for a scalar.
  public let shape: [Int]
  let range: Range<Int>
  let mapping: FileMapping

  /// Product of the shape.
  public var count: Int { range.count / dtype.byteCount }

  /// The elements where they lie in the file. Valid while this slice, or the file it came from, lives.
  public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: mapping.bytes[range]) }

  /// Element `index` as f32. F64 is rounded; the others convert exactly.
  ///
  /// - Precondition: `dtype.isFloat` and `index` lies in `0..<count`.
  func float(at index: Int) -> Float {
    let bytes = self.bytes
    switch dtype {
    case .float32:
      return Float(
        bitPattern: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self)))
    case .bfloat16:
      let bits = UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self))
      return Float(bitPattern: UInt32(bits) << 16)
    case .float16:
      let bits = UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self))
      return Float(Float16(bitPattern: bits))
    case .float64:
      let bits = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self))
      return Float(Double(bitPattern: bits))
    case .int64, .int32, .uint8, .bool:
      preconditionFailure("float(at:) of a \(dtype.rawValue) tensor")
    }
  }

  /// Element `index` as an integer; BOOL gives 0 or 1.
  ///
  /// - Precondition: `!dtype.isFloat` and `index` lies in `0..<count`.
  func integer(at index: Int) -> Int {
    let bytes = self.bytes
    switch dtype {
    case .int64:
      return Int(Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: index * 8, as: Int64.self)))
    case .int32:
      return Int(Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: index * 4, as: Int32.self)))
    case .uint8: return Int(bytes[index])
    case .bool: return bytes[index] == 0 ? 0 : 1
    case .float64, .float32, .bfloat16, .float16:
      preconditionFailure("integer(at:) of a \(dtype.rawValue) tensor")
    }
  }
}
