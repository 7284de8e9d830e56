/// The draws of one document: a stream of its own for every (seed, index), so that a document does not depend on how many
/// are made, with draws that are defined here and not by a library's version.
///
/// SplitMix64 (Steele, Lea, Flood 2014) from a start that mixes seed and index.
package struct TaskRandom: Sendable {
  private var state: UInt64

  package init(seed: UInt64, index: Int) {
    state = Self.mix(Self.mix(seed &+ Self.step) ^ UInt64(truncatingIfNeeded: index))
  }

  private static let step: UInt64 = 0x9E37_79B9_7F4A_7C15

  private static func mix(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  package mutating func next() -> UInt64 {
    state &+= Self.step
    return Self.mix(state)
  }

  /// Uniform in `0..<bound`, without bias (Lemire 2019).
  package mutating func below(_ bound: Int) -> Int {
    precondition(bound > 0)
    let bound = UInt64(bound)
    var product = next().multipliedFullWidth(by: bound)
    if product.low < bound {
      let threshold = (0 &- bound) % bound
      while product.low < threshold { product = next().multipliedFullWidth(by: bound) }
    }
    return Int(product.high)
  }

  package mutating func draw(_ range: ClosedRange<Int>) -> Int {
    range.lowerBound + below(range.count)
  }

  /// Uniform in `0..<1`, 53 bits.
  package mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }

  /// Fisher–Yates.
  package mutating func shuffle<Element>(_ elements: inout [Element]) {
    for index in stride(from: elements.count - 1, to: 0, by: -1) {
      elements.swapAt(index, below(index + 1))
    }
  }

  /// Decimal digits, each uniform.
  package mutating func digits(_ count: Int) -> String {
    String(decoding: (0..<count).map { _ in UInt8(48 + below(10)) }, as: UTF8.self)
  }

  /// Letters, each uniform from the 26 beginning at `first`.
  package mutating func letters(_ count: Int, from first: Character) -> String {
    let base = first.asciiValue ?? 97
    return String(decoding: (0..<count).map { _ in base + UInt8(below(26)) }, as: UTF8.self)
  }
}
