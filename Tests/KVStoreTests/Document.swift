import SparseAttention
import TestSupport

/// A document: rows that depend on layer, position and head alone, so any cut of it gives the same.
struct Document {
  var kvHeads: Int
  var headDim: Int
  var queryHeads: Int
  var seed: UInt64 = 1

  enum Part: UInt64 {
    case keys = 1
    case values = 2
    case queries = 3
  }

  /// f32 `[tokens, heads, headDim]`
  func rows(_ part: Part, layer: Int, _ tokens: Range<Int>) -> [Float] {
    let heads = part == .queries ? queryHeads : kvHeads
    var out: [Float] = []
    out.reserveCapacity(tokens.count * heads * headDim)
    for token in tokens {
      var generator = SeededGenerator(
        seed &* 1_000_003 &+ part.rawValue << 56 &+ UInt64(layer) << 40 &+ UInt64(token))
      for _ in 0..<heads * headDim {
        // 24 random bits in -1..<1; sums of two give a hump.
        let bits = generator.next()
        let a = Float(Int32(truncatingIfNeeded: bits) >> 8) / Float(1 << 23)
        let b = Float(Int32(truncatingIfNeeded: bits >> 32) >> 8) / Float(1 << 23)
        out.append(a + b)
      }
    }
    return out
  }

  func ids(_ tokens: Range<Int>) -> [UInt32] {
    tokens.map { UInt32(truncatingIfNeeded: $0 &* 2_654_435_761) }
  }
}

extension [Float] {
  /// Calls `body` with a token-major view of the elements.
  func view<R>(_ tokens: Int, _ heads: Int, _ headDim: Int, _ body: (TensorView) throws -> R) rethrows -> R {
    try withUnsafeBytes {
      let base = $0.baseAddress ?? UnsafeRawPointer(bitPattern: 64)!
      return try body(
        .tokenMajor(base, elementType: .float32, tokens: tokens, heads: heads, headDim: headDim))
    }
  }
}

/// `range` cut into pieces of `size` tokens.
func pieces(_ range: Range<Int>, _ size: Int) -> [Range<Int>] {
  stride(from: range.lowerBound, to: range.upperBound, by: size).map { $0..<min($0 + size, range.upperBound) }
}

func randomPieces(_ range: Range<Int>, most: Int, _ generator: inout SeededGenerator) -> [Range<Int>] {
  var cuts: [Range<Int>] = []
  var start = range.lowerBound
  while start < range.upperBound {
    let end = min(range.upperBound, start + Int.random(in: 1...most, using: &generator))
    cuts.append(start..<end)
    start = end
  }
  return cuts
}
