/// Reads the fields of one protobuf message, one after another, without trusting a byte of it.
///
/// It knows the wire format only (protobuf.dev/programming-guides/encoding): a caller decides by field number. Groups, which
/// no format has used for a decade, are refused.
struct ProtobufReader {
  enum Value {
    case varint(UInt64)
    case fixed64
    /// Strings, bytes and messages: where they lie.
    case bytes(Range<Int>)
    case fixed32(UInt32)
  }

  struct Field {
    let number: UInt64
    let value: Value
    /// The bytes of the field with its tag.
    let extent: Range<Int>
  }

  private let bytes: [UInt8]
  private let end: Int
  /// The offset of the next field in the file.
  private(set) var offset: Int

  init(_ bytes: [UInt8], _ range: Range<Int>) {
    self.bytes = bytes
    offset = range.lowerBound
    end = range.upperBound
  }

  /// The next field; nil at the end of the message.
  ///
  /// - Throws: `malformed`, with the byte offset in the file.
  mutating func next() throws(TokenizerError) -> Field? {
    guard offset < end else { return nil }
    let start = offset
    let tag = try varint()
    guard tag <= UInt32.max, tag >> 3 > 0 else { throw Self.failure("a field's tag is \(tag)", at: start) }
    let value: Value
    switch tag & 7 {
    case 0: value = .varint(try varint())
    case 1:
      try skip(8, of: start)
      value = .fixed64
    case 2:
      let count = try varint()
      guard count <= UInt64(end - offset) else {
        throw Self.failure("a field of \(count) bytes where \(end - offset) are left", at: start)
      }
      value = .bytes(offset..<offset + Int(count))
      offset += Int(count)
    case 5:
      try skip(4, of: start)
      value = .fixed32((1...4).reduce(0) { $0 << 8 | UInt32(bytes[offset - $1]) })
    default: throw Self.failure("a field has wire type \(tag & 7)", at: start)
    }
    return Field(number: tag >> 3, value: value, extent: start..<offset)
  }

  private mutating func varint() throws(TokenizerError) -> UInt64 {
    let start = offset
    var value: UInt64 = 0
    for shift in stride(from: 0, to: 70, by: 7) {
      guard offset < end else { throw Self.failure("the message ends within an integer", at: start) }
      let byte = bytes[offset]
      offset += 1
      guard shift < 63 || byte <= 1 else { break }
      value |= UInt64(byte & 0x7F) << UInt64(shift)
      if byte < 0x80 { return value }
    }
    throw Self.failure("an integer has more than 64 bits", at: start)
  }

  private mutating func skip(_ count: Int, of start: Int) throws(TokenizerError) {
    guard end - offset >= count else { throw Self.failure("the message ends within a field", at: start) }
    offset += count
  }

  static func failure(_ message: String, at offset: Int) -> TokenizerError {
    TokenizerError(.malformed, "\(message), at byte \(offset)")
  }
}

extension ProtobufReader.Field {
  /// The field as a string, bytes or message.
  func range(_ name: String) throws(TokenizerError) -> Range<Int> {
    guard case .bytes(let range) = value else { throw wrongType(name) }
    return range
  }

  /// The field as an `enum` or `int32`, of which the format keeps the low 32 bits.
  func integer(_ name: String) throws(TokenizerError) -> Int32 {
    guard case .varint(let value) = value else { throw wrongType(name) }
    return Int32(truncatingIfNeeded: value)
  }

  func boolean(_ name: String) throws(TokenizerError) -> Bool {
    guard case .varint(let value) = value else { throw wrongType(name) }
    return value != 0
  }

  func float(_ name: String) throws(TokenizerError) -> Float {
    guard case .fixed32(let bits) = value else { throw wrongType(name) }
    return Float(bitPattern: bits)
  }

  private func wrongType(_ name: String) -> TokenizerError {
    ProtobufReader.failure("\(name) has another wire type", at: extent.lowerBound)
  }
}
