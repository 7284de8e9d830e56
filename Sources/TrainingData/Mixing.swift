/// Repeatable randomness without state: the same bits from the same words, on every machine.
enum Mixing {
  /// The finalizer of SplitMix64 (Steele, Lea, Flood 2014), a bijection.
  static func finalize(_ word: UInt64) -> UInt64 {
    var z = word
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// Random bits that words stand for, order included.
  static func key(_ words: UInt64...) -> UInt64 {
    var state: UInt64 = 0x9E37_79B9_7F4A_7C15
    for word in words { state = finalize(state &+ finalize(word &+ 0x9E37_79B9_7F4A_7C15)) }
    return state
  }

  /// A number in `0..<bound` from random bits; uniform up to a bias of `bound / 2^64`.
  static func below(_ bound: Int, _ bits: UInt64) -> Int {
    Int(UInt64(bound).multipliedFullWidth(by: bits).high)
  }
}

/// A checksum against accidents, not against enemies: 64 bits over words, each word by a bijection of the state.
struct Checksum: Sendable, Hashable {
  private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325

  @inline(__always)
  mutating func add(_ word: UInt64) {
    value = (value ^ word) &* 0x9E37_79B9_7F4A_7C15
    value ^= value >> 29
  }

  mutating func add(_ text: String) {
    add(UInt64(text.utf8.count))
    for byte in text.utf8 { add(UInt64(byte)) }
  }
}
