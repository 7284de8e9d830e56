import StrictJSON

/// The 256 characters by which byte-level vocabularies write bytes (Radford et al. 2019): printable Latin-1 stands for itself,
/// the other bytes follow from U+0100.
enum ByteAlphabet {
  /// Whether a byte is its own character.
  private static func isPrintable(_ byte: UInt32) -> Bool {
    (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || (0xAE...0xFF).contains(byte)
  }

  /// The scalar of each byte.
  static let scalars: [UInt32] = {
    var next: UInt32 = 0x100
    return (0..<256).map { (byte: UInt32) in
      if isPrintable(byte) { return byte }
      defer { next += 1 }
      return next
    }
  }()

  /// The byte of each scalar below U+0144, or -1.
  private static let bytes: [Int16] = {
    var bytes = [Int16](repeating: -1, count: 0x144)
    for (byte, scalar) in scalars.enumerated() { bytes[Int(scalar)] = Int16(byte) }
    return bytes
  }()

  /// The byte that a scalar stands for.
  static func byte(of scalar: UInt32) -> UInt8? {
    scalar < bytes.count ? UInt8(exactly: bytes[Int(scalar)]) : nil
  }

  /// Appends the bytes that a vocabulary's string stands for: the string's own where a character is none of the alphabet.
  static func appendBytes(of string: ArraySlice<UInt8>, to result: inout [UInt8]) {
    let start = result.count
    let text = string.span
    var at = 0
    while at < text.count {
      guard let scalar = UTF8Scalar(in: text, at: at), let byte = byte(of: scalar.value) else {
        result.removeLast(result.count - start)
        result.append(contentsOf: string)
        return
      }
      result.append(byte)
      at += scalar.length
    }
  }

  /// The string by which a vocabulary writes bytes, as UTF-8.
  static func string(of word: Span<UInt8>, into result: inout [UInt8]) {
    result.removeAll(keepingCapacity: true)
    for at in word.indices {
      let scalar = scalars[Int(word[at])]
      if scalar < 0x80 {
        result.append(UInt8(scalar))
      } else {
        result.append(UInt8(0xC0 | scalar >> 6))
        result.append(UInt8(0x80 | scalar & 0x3F))
      }
    }
  }
}
