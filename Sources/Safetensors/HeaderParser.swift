/// One tensor as the header describes it, not yet checked against the file.
struct HeaderEntry: Equatable {
  var name: String
  var dtype: String
  var shape: [Int]
  var begin: Int
  var end: Int
}

/// Reads the JSON of a safetensors header, and only that: an object whose values are tensor descriptions, and one
/// `__metadata__` object of strings. The grammar has a fixed depth, so no input can make the parser recurse; keys that occur
/// twice, fractions, negative and overflowing integers are refused, which a general JSON reader would let pass.
struct HeaderParser {
  /// Dimensions of one tensor. No checkpoint has more than a handful.
  static let maximumRank = 16
  /// Tensors of one file.
  static let maximumTensors = 1 << 20

  private let bytes: UnsafeRawBufferPointer
  private var at = 0
  /// The tensor being read, for errors.
  private var tensor: String?

  private(set) var entries: [HeaderEntry] = []
  private(set) var metadata: [String: String] = [:]

  init(_ bytes: UnsafeRawBufferPointer) {
    self.bytes = bytes
  }

  /// Reads the whole header; trailing spaces are padding.
  mutating func parse() throws(SafetensorsError) {
    var names = Set<String>()
    guard bytes.first == UInt8(ascii: "{") else { throw failure("the header does not begin with '{'") }
    try object { (parser, key) throws(SafetensorsError) in
      guard names.insert(key).inserted else { throw parser.failure("the header names \"\(key)\" twice") }
      if key == "__metadata__" {
        try parser.parseMetadata()
      } else {
        guard parser.entries.count < Self.maximumTensors else {
          throw parser.failure("the header has more than \(Self.maximumTensors) tensors")
        }
        parser.tensor = key
        try parser.parseEntry(key)
        parser.tensor = nil
      }
    }
    skipSpace()
    guard at == bytes.count else { throw failure("the header goes on after its last '}'") }
  }

  private mutating func parseMetadata() throws(SafetensorsError) {
    try object { (parser, key) throws(SafetensorsError) in
      let value = try parser.string()
      guard parser.metadata.updateValue(value, forKey: key) == nil else {
        throw parser.failure("__metadata__ names \"\(key)\" twice")
      }
    }
  }

  private mutating func parseEntry(_ name: String) throws(SafetensorsError) {
    var dtype: String?
    var shape: [Int]?
    var offsets: [Int]?
    try object { (parser, key) throws(SafetensorsError) in
      switch key {
      case "dtype" where dtype == nil: dtype = try parser.string()
      case "shape" where shape == nil: shape = try parser.integers(atMost: Self.maximumRank)
      case "data_offsets" where offsets == nil: offsets = try parser.integers(atMost: 2)
      case "dtype", "shape", "data_offsets": throw parser.failure("\"\(key)\" stands twice")
      default: throw parser.failure("unknown field \"\(key)\"")
      }
    }
    guard let dtype else { throw failure("no \"dtype\"") }
    guard let shape else { throw failure("no \"shape\"") }
    guard let offsets, offsets.count == 2 else { throw failure("no \"data_offsets\" of two integers") }
    entries.append(HeaderEntry(name: name, dtype: dtype, shape: shape, begin: offsets[0], end: offsets[1]))
  }

  // MARK: JSON

  /// An object; `member` reads each value.
  private mutating func object(
    _ member: (inout HeaderParser, String) throws(SafetensorsError) -> Void
  ) throws(SafetensorsError) {
    try expect("{")
    if accept("}") { return }
    repeat {
      let key = try string()
      try expect(":")
      try member(&self, key)
    } while accept(",")
    try expect("}")
  }

  private mutating func integers(atMost limit: Int) throws(SafetensorsError) -> [Int] {
    var result: [Int] = []
    try expect("[")
    if accept("]") { return result }
    repeat {
      guard result.count < limit else { throw failure("more than \(limit) integers in an array") }
      result.append(try integer())
    } while accept(",")
    try expect("]")
    return result
  }

  /// A non-negative integer that fits in `Int`, without sign, fraction, exponent or leading zeros.
  private mutating func integer() throws(SafetensorsError) -> Int {
    skipSpace()
    let start = at
    var value = 0
    while at < bytes.count, case let digit = bytes[at],
      (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit)
    {
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = product.addingReportingOverflow(Int(digit - UInt8(ascii: "0")))
      guard !overflow, !carry else { throw failure("an integer overflows 63 bits") }
      value = sum
      at += 1
    }
    guard at > start else { throw failure("expected a non-negative integer") }
    guard at - start == 1 || bytes[start] != UInt8(ascii: "0") else {
      throw failure("an integer has leading zeros")
    }
    return value
  }

  private mutating func string() throws(SafetensorsError) -> String {
    try expect("\"")
    var scalars: [UInt8] = []
    while at < bytes.count {
      let byte = bytes[at]
      at += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let text = String(validating: scalars, as: UTF8.self) else {
          throw failure("a string is not UTF-8")
        }
        return text
      case UInt8(ascii: "\\"): try escape(into: &scalars)
      case 0..<0x20: throw failure("a control character in a string")
      default: scalars.append(byte)
      }
    }
    throw failure("a string does not end")
  }

  private mutating func escape(into scalars: inout [UInt8]) throws(SafetensorsError) {
    guard at < bytes.count else { throw failure("a string does not end") }
    let byte = bytes[at]
    at += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): scalars.append(byte)
    case UInt8(ascii: "b"): scalars.append(0x08)
    case UInt8(ascii: "f"): scalars.append(0x0C)
    case UInt8(ascii: "n"): scalars.append(0x0A)
    case UInt8(ascii: "r"): scalars.append(0x0D)
    case UInt8(ascii: "t"): scalars.append(0x09)
    case UInt8(ascii: "u"):
      var code = UInt32(try hexadecimal())
      if (0xD800..<0xDC00).contains(code) {
        guard at + 1 < bytes.count, bytes[at] == UInt8(ascii: "\\"), bytes[at + 1] == UInt8(ascii: "u") else {
          throw failure("half a surrogate pair in a string")
        }
        at += 2
        let low = UInt32(try hexadecimal())
        guard (0xDC00..<0xE000).contains(low) else { throw failure("half a surrogate pair in a string") }
        code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(code) else { throw failure("half a surrogate pair in a string") }
      scalars.append(contentsOf: Array(String(Character(scalar)).utf8))
    default: throw failure("an unknown escape in a string")
    }
  }

  private mutating func hexadecimal() throws(SafetensorsError) -> UInt16 {
    guard bytes.count - at >= 4 else { throw failure("a string does not end") }
    var value: UInt16 = 0
    for byte in bytes[at..<at + 4] {
      guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw failure("a \\u escape without four hexadecimal digits")
      }
      value = value << 4 | UInt16(digit)
    }
    at += 4
    return value
  }

  private mutating func skipSpace() {
    while at < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[at]) { at += 1 }
  }

  private mutating func accept(_ character: Unicode.Scalar) -> Bool {
    skipSpace()
    guard at < bytes.count, bytes[at] == UInt8(ascii: character) else { return false }
    at += 1
    return true
  }

  private mutating func expect(_ character: Unicode.Scalar) throws(SafetensorsError) {
    guard accept(character) else { throw failure("expected '\(character)'") }
  }

  private func failure(_ message: String) -> SafetensorsError {
    SafetensorsError(.malformed, "\(message) (byte \(at) of the header)", tensor: tensor)
  }
}
