/// A set of byte values.
struct ByteSet: Sendable, Equatable {
  private var words: SIMD4<UInt64> = .zero

  init(_ bytes: [UInt8] = []) {
    for byte in bytes { insert(byte) }
  }

  func contains(_ byte: UInt8) -> Bool { words[Int(byte >> 6)] >> UInt64(byte & 63) & 1 == 1 }

  mutating func insert(_ byte: UInt8) { words[Int(byte >> 6)] |= 1 << UInt64(byte & 63) }

  mutating func formUnion(_ other: ByteSet) { words |= other.words }
}
