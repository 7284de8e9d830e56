/// A pseudo-random permutation of `0..<count` in O(1) memory: a Feistel network over the next power of four, walked until the
/// result is in range (Black, Rogaway 2002, "Ciphers with arbitrary finite domains").
package struct KeyedPermutation: Sendable {
  package let count: Int
  private let key: UInt64
  private let halfBits: UInt64

  private static let rounds: UInt64 = 8

  package init(count: Int, key: UInt64) {
    precondition(count > 0, "nothing to permute")
    self.count = count
    self.key = key
    let bits = UInt64.bitWidth - UInt64(count - 1).leadingZeroBitCount
    halfBits = UInt64(max(1, (bits + 1) / 2))
  }

  /// - Complexity: O(1) in expectation: at most every fourth value is in range.
  package func callAsFunction(_ position: Int) -> Int {
    precondition((0..<count).contains(position), "outside of the permutation")
    var value = UInt64(position)
    repeat { value = encipher(value) } while value >= UInt64(count)
    return Int(value)
  }

  private func encipher(_ value: UInt64) -> UInt64 {
    let mask = (1 << halfBits) - 1 as UInt64
    var left = value >> halfBits
    var right = value & mask
    for round in 0..<Self.rounds {
      let mixed = Mixing.finalize(right &+ key &+ (round + 1) &* 0x9E37_79B9_7F4A_7C15)
      (left, right) = (right, left ^ (mixed & mask))
    }
    return left << halfBits | right
  }
}
