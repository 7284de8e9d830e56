/// Any JSON value, so that a configuration's fields can be looked at before their types are known.
package enum JSONValue: Hashable, Sendable {
  case null
  case boolean(Bool)
  case integer(Int)
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object([String: JSONValue])

  /// Values in one tree. A tree takes many times the memory of its text, so a caller that expects little says so.
  package static let maximumValues = 1 << 20

  /// Reads bytes that are one JSON value.
  package init(_ bytes: [UInt8], maximumValues: Int = Self.maximumValues) throws(JSONError) {
    var scanner = JSONScanner(bytes.span)
    self = try JSONValue(reading: &scanner, maximumValues: maximumValues)
    try scanner.finish()
  }

  /// Reads the scanner's next value.
  package init(
    reading scanner: inout JSONScanner, maximumValues: Int = Self.maximumValues
  ) throws(JSONError) {
    var left = maximumValues
    self = try Self.read(&scanner, &left)
  }

  /// Recursion ends at the scanner's depth.
  private static func read(_ scanner: inout JSONScanner, _ left: inout Int) throws(JSONError) -> JSONValue {
    left -= 1
    guard left >= 0 else { throw scanner.failure("too many values") }
    switch try scanner.kind() {
    case .null:
      try scanner.null()
      return .null
    case .boolean: return .boolean(try scanner.boolean())
    case .string: return .string(try scanner.string())
    case .number:
      switch try scanner.number() {
      case .integer(let value): return .integer(value)
      case .double(let value): return .number(value)
      }
    case .array:
      var values: [JSONValue] = []
      try scanner.beginArray()
      while try scanner.nextElement() { values.append(try read(&scanner, &left)) }
      return .array(values)
    case .object:
      var members: [String: JSONValue] = [:]
      try scanner.beginObject()
      while let name = try scanner.nextName() {
        let value = try read(&scanner, &left)
        // Strings are equal when canonically equivalent, names of different bytes can still be one key.
        guard members.updateValue(value, forKey: name) == nil else {
          throw scanner.failure("\"\(name.prefix(60))\" stands twice, written differently")
        }
      }
      return .object(members)
    }
  }

  package var double: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }
}

extension JSONValue: CustomStringConvertible {
  /// As it stands in a file, shortened to what fits an error message.
  package var description: String {
    switch self {
    case .null: "null"
    case .boolean(let value): String(value)
    case .integer(let value): String(value)
    case .number(let value): String(value)
    case .string(let value): "\"\(value.prefix(60))\""
    case .array(let values):
      "[" + values.prefix(4).map(\.description).joined(separator: ", ") + (values.count > 4 ? ", …]" : "]")
    case .object(let members):
      "{" + members.keys.sorted().prefix(4).joined(separator: ", ") + (members.count > 4 ? ", …}" : "}")
    }
  }
}
