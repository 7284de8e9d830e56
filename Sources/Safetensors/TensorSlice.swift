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

  /// All elements as f32, row-major.
  ///
  /// - Precondition: `dtype.isFloat`.
  public func floats() -> [Float] {
    [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
      // The capacity may be larger than what was asked for.
      copyFloats(into: UnsafeMutableBufferPointer(rebasing: buffer[..<count]))
      initialized = count
    }
  }

  /// Copies `destination.count` elements from element `start` on as f32. F64 is rounded; the others convert exactly.
  ///
  /// - Precondition: `dtype.isFloat` and the elements lie in `0..<count`.
  public func copyFloats(from start: Int = 0, into destination: UnsafeMutableBufferPointer<Float>) {
    precondition(start >= 0 && destination.count <= count - start, "elements outside of the tensor")
    let bytes = UnsafeRawBufferPointer(
      rebasing: self.bytes[start * dtype.byteCount..<(start + destination.count) * dtype.byteCount])
    switch dtype {
    case .float32:
      for index in destination.indices {
        destination[index] = Float(bitPattern: littleEndian(bytes, index))
      }
    case .bfloat16:
      for index in destination.indices {
        let bits: UInt16 = littleEndian(bytes, index)
        destination[index] = Float(bitPattern: UInt32(bits) << 16)
      }
    case .float16:
      for index in destination.indices {
        destination[index] = float(half: littleEndian(bytes, index))
      }
    case .float64:
      for index in destination.indices {
        destination[index] = Float(Double(bitPattern: littleEndian(bytes, index)))
      }
    case .int64, .int32, .uint8, .bool:
      preconditionFailure("copyFloats of a \(dtype.rawValue) tensor")
    }
  }

  /// Element `index` as an integer; BOOL gives 0 or 1.
  ///
  /// - Precondition: `!dtype.isFloat` and `index` lies in `0..<count`.
  func integer(at index: Int) -> Int {
    let bytes = self.bytes
    switch dtype {
    case .int64: return Int(Int64(bitPattern: littleEndian(bytes, index)))
    case .int32: return Int(Int32(bitPattern: littleEndian(bytes, index)))
    case .uint8: return Int(bytes[index])
    case .bool: return bytes[index] == 0 ? 0 : 1
    case .float64, .float32, .bfloat16, .float16:
      preconditionFailure("integer(at:) of a \(dtype.rawValue) tensor")
    }
  }
}

/// Element `index` of an array of little-endian integers that may begin at any address.
@inline(__always)
private func littleEndian<Bits: FixedWidthInteger & BitwiseCopyable>(
  _ bytes: UnsafeRawBufferPointer, _ index: Int
) -> Bits {
  Bits(littleEndian: bytes.loadUnaligned(fromByteOffset: index * MemoryLayout<Bits>.size, as: Bits.self))
}

/// A half-precision number as f32, exact, in arithmetic that compilers vectorise on any CPU.
@inline(__always)
private func float(half bits: UInt16) -> Float {
  let magnitude = UInt32(bits & 0x7FFF) << 13
  // Moves the exponent's bias from 15 to 127; subnormals become normal on the way.
  let finite = (Float(bitPattern: magnitude) * 0x1p112).bitPattern
  let value = magnitude >= 0x0F80_0000 ? magnitude | 0x7F80_0000 : finite
  return Float(bitPattern: value | UInt32(bits & 0x8000) << 16)
}
