import Kernels

/// Rounding of f32 to bf16, to nearest and ties to even.
package enum BFloat16 {
  /// The bf16 bits of `value`; NaN stays NaN.
  @inline(__always)
  package static func bits(_ value: Float) -> UInt16 {
    let bits = value.bitPattern
    let rounded = UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) >> 16)
    return value.isNaN ? UInt16(truncatingIfNeeded: bits >> 16) | 0x40 : rounded
  }

  /// `value` rounded to bf16, as f32.
  @inline(__always)
  package static func round(_ value: Float) -> Float { Float(bitPattern: UInt32(bits(value)) << 16) }

  /// Rounds each value; `output` may be the memory of `values`.
  package static func round(
    _ values: UnsafeBufferPointer<Float>, into output: UnsafeMutableBufferPointer<Float>
  ) {
    precondition(output.count >= values.count)
    Team.split(values.count) {
      lagoon_round_bf16(values.part($0).baseAddress, output.part($0).baseAddress, $0.count)
    }
  }

  package static func convert(
    _ values: UnsafeBufferPointer<Float>, into output: UnsafeMutableBufferPointer<UInt16>
  ) {
    precondition(output.count >= values.count)
    Team.split(values.count) {
      lagoon_convert(
        values.part($0).baseAddress, UInt8(LAGOON_F32),
        UnsafeMutableBufferPointer(rebasing: output[$0]).baseAddress, UInt8(LAGOON_BF16), $0.count)
    }
  }
}
