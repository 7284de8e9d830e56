import Glibc
import Kernels
import TestSupport
import Testing

/// Two shares of the keys that some rows have seen.
@Suite struct MergeTests {
  private static let rows = 5
  private static let headDim = 40

  /// Rows of sums: what a row has accumulated, or nothing where `seen` says so.
  private struct Sums {
    var weighted: [Float]
    var maximum: [Float]
    var sum: [Float]

    init(seed: UInt64, seen: [Bool], padded: Int) {
      var random = SeededGenerator(seed)
      weighted = seen.flatMap { seen in random.floats(padded).map { seen ? $0 : 0 } }
      maximum = seen.map { $0 ? random.float(scale: 20) : -.infinity }
      sum = seen.map { $0 ? Float.random(in: 1...50, using: &random) : 0 }
    }
  }

  @Test func sharesAddUp() {
    let padded = lagoon_padded_dim(Self.headDim)
    let ours = Sums(seed: 1, seen: [true, true, false, false, true], padded: padded)
    let theirs = Sums(seed: 2, seen: [true, false, true, false, true], padded: padded)

    func check(
      _ name: String,
      _ merge: (UnsafePointer<lagoon_query_rows>, UnsafePointer<lagoon_query_rows>) -> Void
    ) {
      var got = ours
      // The kernel asks for aligned rows.
      let memory = UnsafeMutableRawPointer.allocate(byteCount: 8 * Self.rows * padded, alignment: 64)
        .bindMemory(to: Float.self, capacity: 2 * Self.rows * padded)
      defer { memory.deallocate() }
      memory.update(from: ours.weighted, count: Self.rows * padded)
      (memory + Self.rows * padded).update(from: theirs.weighted, count: Self.rows * padded)
      var from = theirs
      got.maximum.withUnsafeMutableBufferPointer { maximum in
        got.sum.withUnsafeMutableBufferPointer { sum in
          from.maximum.withUnsafeMutableBufferPointer { fromMaximum in
            from.sum.withUnsafeMutableBufferPointer { fromSum in
              var to = lagoon_query_rows()
              (to.rows, to.headDim) = (Self.rows, Self.headDim)
              var other = to
              (to.weighted, to.maximum, to.sum) = (memory, maximum.baseAddress, sum.baseAddress)
              (other.maximum, other.sum) = (fromMaximum.baseAddress, fromSum.baseAddress)
              other.weighted = memory + Self.rows * padded
              merge(&to, &other)
            }
          }
        }
      }

      for row in 0..<Self.rows {
        guard ours.sum[row] != 0 || theirs.sum[row] != 0 else {
          #expect(got.sum[row] == 0 && got.maximum[row] == -.infinity, "\(name), row \(row)")
          continue
        }
        let most = Double(max(ours.maximum[row], theirs.maximum[row]))
        let a = exp(Double(ours.maximum[row]) - most)
        let b = exp(Double(theirs.maximum[row]) - most)
        #expect(Double(got.maximum[row]) == most, "\(name), row \(row)")
        let sum = a * Double(ours.sum[row]) + b * Double(theirs.sum[row])
        #expect(abs(Double(got.sum[row]) / sum - 1) < 1e-6, "\(name), row \(row)")
        for c in row * padded..<row * padded + Self.headDim {
          let expected = a * Double(ours.weighted[c]) + b * Double(theirs.weighted[c])
          #expect(abs(Double(memory[c]) - expected) < 2e-6, "\(name), row \(row)")
        }
      }
    }
    check("scalar", lagoon_merge_attention_scalar)
    onEveryTarget { check($0, lagoon_merge_attention) }
  }
}
