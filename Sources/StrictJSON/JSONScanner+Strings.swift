extension JSONScanner {
  /// Reads a string.
  ///
  /// - Parameter result: its bytes, well-formed UTF-8, in place of what it held.
  package mutating func string(into result: inout [UInt8]) throws(JSONError) {
    result.removeAll(keepingCapacity: true)
    try expect("\"")
    while offset < bytes.count {
      let byte = bytes[offset]
      switch byte {
      case UInt8(ascii: "\""):
        offset += 1
        return
      case UInt8(ascii: "\\"):
        offset += 1
        try escape(into: &result)
      case 0..<0x20: throw failure("a control character in a string")
      case 0x20..<0x80:
        result.append(byte)
        offset += 1
      default:
        guard let scalar = UTF8Scalar(in: bytes, at: offset) else { throw failure("a string is not UTF-8") }
        for at in offset..<offset + scalar.length { result.append(bytes[at]) }
        offset += scalar.length
      }
    }
    throw failure("a string does not end")
  }

  package mutating func string() throws(JSONError) -> String {
    var result: [UInt8] = []
    try string(into: &result)
    return String(decoding: result, as: UTF8.self)
  }

  /// What follows a backslash.
  private mutating func escape(into result: inout [UInt8]) throws(JSONError) {
    guard offset < bytes.count else { throw failure("a string does not end") }
    let byte = bytes[offset]
    offset += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): result.append(byte)
    case UInt8(ascii: "b"): result.append(0x08)
    case UInt8(ascii: "f"): result.append(0x0C)
    case UInt8(ascii: "n"): result.append(0x0A)
    case UInt8(ascii: "r"): result.append(0x0D)
    case UInt8(ascii: "t"): result.append(0x09)
    case UInt8(ascii: "u"):
      var code = try hexadecimal()
      if (0xD800..<0xDC00).contains(code) {
        guard offset + 1 < bytes.count, bytes[offset] == UInt8(ascii: "\\"),
          bytes[offset + 1] == UInt8(ascii: "u")
        else { throw failure("half a surrogate pair in a string") }
        offset += 2
        let low = try hexadecimal()
        guard (0xDC00..<0xE000).contains(low) else { throw failure("half a surrogate pair in a string") }
        code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(code) else { throw failure("half a surrogate pair in a string") }
      result.append(contentsOf: UTF8.encode(scalar) ?? .init())
    default: throw failure("an unknown escape in a string")
    }
  }

  private mutating func hexadecimal() throws(JSONError) -> UInt32 {
    guard bytes.count - offset >= 4 else { throw failure("a string does not end") }
    var value: UInt32 = 0
    for at in offset..<offset + 4 {
      let digit: UInt8
      switch bytes[at] {
      case let byte where (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte):
        digit = byte - UInt8(ascii: "0")
      case let byte where (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte):
        digit = byte - UInt8(ascii: "a") + 10
      case let byte where (UInt8(ascii: "A")...UInt8(ascii: "F")).contains(byte):
        digit = byte - UInt8(ascii: "A") + 10
      default: throw failure("a \\u escape without four hexadecimal digits")
      }
      value = value << 4 | UInt32(digit)
    }
    offset += 4
    return value
  }
}
