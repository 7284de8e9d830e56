/// What stands at a place of a byte string that should be UTF-8.
package enum UTF8Sequence: Equatable {
  /// A scalar of this many bytes.
  case complete(Int)
  /// The bytes end within what may still become a scalar.
  case incomplete
  /// This many bytes that cannot become a scalar whatever follows: what Unicode's recommended practice replaces by one
  /// U+FFFD (the maximal subpart of an ill-formed sequence, section 3.9, table 3-8).
  case invalid(Int)

  /// Reads the sequence that begins at `offset`, looking at nothing from `end` on. `offset < end <= bytes.count`.
  package init(_ bytes: [UInt8], at offset: Int, end: Int) {
    let lead = bytes[offset]
    let length: Int
    // Only the second byte's range depends on the first (Unicode, table 3-7).
    var second: ClosedRange<UInt8> = 0x80...0xBF
    switch lead {
    case 0x00...0x7F:
      self = .complete(1)
      return
    case 0xC2...0xDF: length = 2
    case 0xE0: (length, second) = (3, 0xA0...0xBF)
    case 0xED: (length, second) = (3, 0x80...0x9F)
    case 0xE1...0xEF: length = 3
    case 0xF0: (length, second) = (4, 0x90...0xBF)
    case 0xF4: (length, second) = (4, 0x80...0x8F)
    case 0xF1...0xF3: length = 4
    default:
      self = .invalid(1)
      return
    }
    for index in 1..<length {
      guard offset + index < end else {
        self = .incomplete
        return
      }
      guard (index == 1 ? second : 0x80...0xBF).contains(bytes[offset + index]) else {
        self = .invalid(index)
        return
      }
    }
    self = .complete(length)
  }
}
