/// A JSON number: an integer where it is written as one and fits.
package enum JSONNumber: Sendable, Hashable {
  case integer(Int)
  case double(Double)
}

extension JSONScanner {
  /// Characters of one number. Enough for any double written out in full.
  private static let longestNumber = 2048

  package mutating func null() throws(JSONError) { try literal("null") }

  package mutating func boolean() throws(JSONError) -> Bool {
    guard try kind() == .boolean else { throw failure("expected true or false") }
    let value = bytes[offset] == UInt8(ascii: "t")
    try literal(value ? "true" : "false")
    return value
  }

  /// Reads a number. Integers that do not fit `Int` become the nearest double; what no finite double is near to is refused.
  package mutating func number() throws(JSONError) -> JSONNumber {
    skipSpace()
    let start = offset
    if offset < bytes.count, bytes[offset] == UInt8(ascii: "-") { offset += 1 }
    let integer = try digits()
    if integer.count > 1, bytes[integer.lowerBound] == UInt8(ascii: "0") {
      throw failure("a number has leading zeros")
    }
    var isInteger = true
    if offset < bytes.count, bytes[offset] == UInt8(ascii: ".") {
      offset += 1
      isInteger = false
      _ = try digits()
    }
    if offset < bytes.count, bytes[offset] | 0x20 == UInt8(ascii: "e") {
      offset += 1
      isInteger = false
      if offset < bytes.count, [UInt8(ascii: "+"), UInt8(ascii: "-")].contains(bytes[offset]) { offset += 1 }
      _ = try digits()
    }
    guard offset - start <= Self.longestNumber else {
      throw failure("a number of more than \(Self.longestNumber) characters")
    }
    let text = String(decoding: (start..<offset).map { bytes[$0] }, as: UTF8.self)
    if isInteger, let value = Int(text) { return .integer(value) }
    guard let value = Double(text), value.isFinite else { throw failure("a number is out of range") }
    return .double(value)
  }

  /// Reads digits that are a non-negative integer. A fraction or an exponent is left standing, where nothing may follow.
  package mutating func naturalNumber() throws(JSONError) -> Int {
    skipSpace()
    let start = offset
    var value = 0
    while offset < bytes.count, case let digit = bytes[offset] &- UInt8(ascii: "0"), digit < 10 {
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = product.addingReportingOverflow(Int(digit))
      guard !overflow, !carry else { throw failure("an integer overflows 63 bits") }
      value = sum
      offset += 1
    }
    guard offset > start else { throw failure("expected a non-negative integer") }
    guard offset - start == 1 || bytes[start] != UInt8(ascii: "0") else {
      throw failure("an integer has leading zeros")
    }
    return value
  }

  private mutating func digits() throws(JSONError) -> Range<Int> {
    let start = offset
    while offset < bytes.count, bytes[offset] &- UInt8(ascii: "0") < 10 { offset += 1 }
    guard offset > start else { throw failure("expected a digit") }
    return start..<offset
  }

  private mutating func literal(_ text: StaticString) throws(JSONError) {
    skipSpace()
    let matches = text.withUTF8Buffer { expected in
      bytes.count - offset >= expected.count
        && expected.indices.allSatisfy { bytes[offset + $0] == expected[$0] }
    }
    guard matches else { throw failure("expected \(text)") }
    offset += text.utf8CodeUnitCount
  }
}
