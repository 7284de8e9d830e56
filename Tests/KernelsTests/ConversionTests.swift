import Kernels
import TestSupport
import Testing

@Suite struct ConversionTests {
  private let f32 = UInt8(LAGOON_F32)
  private let bf16 = UInt8(LAGOON_BF16)
  private let f16 = UInt8(LAGOON_F16)

  /// Widening is exact, so every one of the 65,536 patterns has one right answer.
  @Test func everyPatternWidens() {
    let patterns = (0...UInt16.max).map { $0 }
    onEveryTarget { target in
      for offset in [0, 1] {
        let source = Elements(byteCount: 2 * patterns.count, misalignedBy: offset)
        patterns.withUnsafeBytes { source.base.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        var wide = [Float](repeating: 0, count: patterns.count)
        lagoon_convert(source.base, f16, &wide, f32, patterns.count)
        for (pattern, value) in zip(patterns, wide) {
          let expected = Float(Float16(bitPattern: pattern))
          if expected.isNaN ? !value.isNaN : value.bitPattern != expected.bitPattern {
            Issue.record("\(target): f16 \(pattern) is \(expected), not \(value)")
          }
        }
        lagoon_convert(source.base, bf16, &wide, f32, patterns.count)
        for (pattern, value) in zip(patterns, wide) where value.bitPattern != UInt32(pattern) << 16 {
          Issue.record("\(target): bf16 \(pattern) is not \(value)")
        }
      }
    }
  }

  /// Values at, just below and just above every rounding boundary, of f16 and of bf16, and random patterns.
  private var hardValues: [Float] {
    var values: [Float] = [
      0, -0.0, .infinity, -.infinity, .nan, -.nan, .greatestFiniteMagnitude, .leastNonzeroMagnitude,
    ]
    values.append(Float(bitPattern: 0x7F80_0001))  // a NaN whose upper half alone would be infinity
    for pattern in stride(from: UInt16(0), to: 0x7C00, by: 7) {
      let low = Float(Float16(bitPattern: pattern))
      let high = pattern == 0x7BFF ? 65536 : Float(Float16(bitPattern: pattern + 1))
      let middle = (low + high) / 2
      values += [low, middle.nextDown, middle, middle.nextUp, -middle]
    }
    values += [65504, 65519.996, 65520, 65536, 3.3895314e38, 3.3961775e38]
    for pattern in stride(from: UInt32(0), to: 0x7F80, by: 11) {
      let middle = pattern << 16 | 0x8000
      values += [middle - 1, middle, middle + 1].map { Float(bitPattern: $0) }
    }
    var random = SeededGenerator(1)
    values += (0..<20_001).map { _ in Float(bitPattern: UInt32(truncatingIfNeeded: random.next())) }
    return values
  }

  @Test func narrowingRoundsToNearestEven() {
    let values = hardValues
    // bf16 by exact arithmetic: the nearer neighbour, the even one of two equally near.
    func nearestBF16(_ value: Float) -> UInt16 {
      let lower = UInt16(value.bitPattern >> 16)
      let rest = value.bitPattern & 0xFFFF
      let up = rest > 0x8000 || (rest == 0x8000 && lower & 1 == 1)
      return up ? lower + 1 : lower
    }
    func check(
      _ name: String, _ convert: (UnsafeRawPointer, UInt8, UnsafeMutableRawPointer, UInt8, Int) -> Void
    ) {
      for offset in [0, 1, 3] {
        let source = Elements(values, as: f32, misalignedBy: offset)
        let target = Elements(byteCount: 2 * values.count, misalignedBy: offset)
        convert(source.base, f32, target.base, f16, values.count)
        for (i, value) in values.enumerated() {
          let got = Float16(bitPattern: target.base.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self))
          let expected = Float16(value)
          if expected.isNaN ? !got.isNaN : got.bitPattern != expected.bitPattern {
            Issue.record("\(name): \(value) as f16 is \(expected), not \(got)")
          }
        }
        convert(source.base, f32, target.base, bf16, values.count)
        for (i, value) in values.enumerated() {
          let got = target.base.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self)
          let isNaN = got & 0x7F80 == 0x7F80 && got & 0x7F != 0
          if value.isNaN ? !isNaN : got != nearestBF16(value) {
            Issue.record("\(name): \(value) as bf16 is not \(got)")
          }
        }
      }
    }
    check("scalar", lagoon_convert_scalar)
    onEveryTarget { check($0, lagoon_convert) }
  }

  @Test func otherPairsAndOddCountsEqualTheScalarTwin() {
    var random = SeededGenerator(2)
    for count in [0, 1, 3, 7, 8, 15, 16, 17, 33, 100] {
      let floats = random.floats(count, scale: 100)
      for from in types {
        for to in types {
          let source = Elements(floats, as: from.code, misalignedBy: 1)
          let expected = Elements(byteCount: count * to.bytes + 8)
          lagoon_convert_scalar(source.base, from.code, expected.base, to.code, count)
          onEveryTarget { target in
            let got = Elements(byteCount: count * to.bytes + 8)
            lagoon_convert(source.base, from.code, got.base, to.code, count)
            // The 8 bytes behind show that nothing is written past the end.
            #expect(
              got.bytes(count * to.bytes + 8) == expected.bytes(count * to.bytes + 8),
              "\(target), \(from.code) to \(to.code), \(count) elements")
          }
        }
      }
    }
  }

  @Test func firstNonfiniteIsFoundWhereverItStands() {
    for type in types {
      for count in [0, 1, 2, 7, 31, 64, 65, 130] {
        let finite = [Float](repeating: 60000, count: count)
        let elements = Elements(finite, as: type.code, misalignedBy: 1)
        func plant(_ value: Float, at index: Int) {
          var value = value
          lagoon_convert_scalar(&value, f32, elements.base + index * type.bytes, type.code, 1)
        }
        func expect(_ index: Int) {
          #expect(lagoon_first_nonfinite_scalar(elements.base, type.code, count) == index)
          onEveryTarget { target in
            #expect(
              lagoon_first_nonfinite(elements.base, type.code, count) == index,
              "\(target), type \(type.code), \(count) elements")
          }
        }
        expect(-1)
        for index in 0..<count {
          // The last one too: a later one must not be the one that is told.
          plant(.nan, at: count - 1)
          for bad in [Float.infinity, -.infinity, .nan] {
            plant(bad, at: index)
            expect(index)
          }
          plant(1, at: index)
          plant(1, at: count - 1)
        }
      }
    }
  }
}
