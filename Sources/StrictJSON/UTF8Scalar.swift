/// One Unicode scalar as it stands in well-formed UTF-8.
package struct UTF8Scalar: Sendable, Hashable {
  package let value: UInt32
  /// Bytes, 1 to 4.
  package let length: Int

  /// The scalar that begins at `offset`; nil when the bytes there are no well-formed UTF-8 (The Unicode Standard, table 3-7:
  /// no overlong forms, no surrogates, nothing past U+10FFFF).
  @inline(__always)
  package init?(in bytes: Span<UInt8>, at offset: Int) {
    let lead = UInt32(bytes[offset])
    if lead < 0x80 {
      self.init(value: lead, length: 1)
    } else {
      self.init(multiByte: lead, in: bytes, at: offset)
    }
  }

  @inline(__always)
  private init(value: UInt32, length: Int) {
    self.value = value
    self.length = length
  }

  private init?(multiByte lead: UInt32, in bytes: Span<UInt8>, at offset: Int) {
    func continuation(_ index: Int) -> UInt32? {
      guard offset + index < bytes.count else { return nil }
      let byte = UInt32(bytes[offset + index])
      return byte & 0xC0 == 0x80 ? byte & 0x3F : nil
    }
    switch lead {
    case 0xC2...0xDF:
      guard let second = continuation(1) else { return nil }
      (value, length) = ((lead & 0x1F) << 6 | second, 2)
    case 0xE0...0xEF:
      guard let second = continuation(1), let third = continuation(2) else { return nil }
      let value = (lead & 0x0F) << 12 | second << 6 | third
      guard value >= 0x800, !(0xD800..<0xE000).contains(value) else { return nil }
      (self.value, length) = (value, 3)
    case 0xF0...0xF4:
      guard let second = continuation(1), let third = continuation(2), let fourth = continuation(3) else {
        return nil
      }
      let value = (lead & 0x07) << 18 | second << 12 | third << 6 | fourth
      guard (0x10000...0x10FFFF).contains(value) else { return nil }
      (self.value, length) = (value, 4)
    default: return nil
    }
  }

  /// Where the well-formed UTF-8 that begins at `start` ends.
  package static func endOfWellFormed(in bytes: Span<UInt8>, from start: Int) -> Int {
    var at = start
    while at < bytes.count {
      if bytes[at] < 0x80 {
        at += 1
      } else if let scalar = UTF8Scalar(in: bytes, at: at) {
        at += scalar.length
      } else {
        break
      }
    }
    return at
  }
}
