/// Reads JSON (RFC 8259) from bytes, value by value, without building a tree.
///
/// Strict: well-formed UTF-8, no lone surrogates, no control characters in strings, no leading zeros, no name twice in one
/// object (compared as bytes), nothing after the value. At most ``maximumDepth`` containers are open at a time, and nothing
/// recurses, so no input can overflow the stack. A scanner that threw stays where it stopped and must not be used further.
///
///     try scanner.beginObject()
///     while try scanner.nextName(into: &name) { try scanner.skipValue() }
///     try scanner.finish()
package struct JSONScanner: ~Copyable, ~Escapable {
  /// Containers within containers.
  package static let maximumDepth = 64

  /// What a value is, from its first byte.
  package enum Kind: Sendable { case object, array, string, number, boolean, null }

  /// An object or array that is being read.
  private struct Container {
    var isObject: Bool
    var isFirst = true
    /// Names read so far; nil when the caller refuses duplicates.
    var names: ByteStringTable?
  }

  let bytes: Span<UInt8>
  /// The next byte to be read.
  package internal(set) var offset = 0
  private var containers: [Container] = []
  private var skipped: [UInt8] = []

  @_lifetime(copy bytes)
  package init(_ bytes: Span<UInt8>) {
    self.bytes = bytes
  }

  /// What comes next.
  package mutating func kind() throws(JSONError) -> Kind {
    skipSpace()
    guard offset < bytes.count else { throw failure("a value is missing") }
    switch bytes[offset] {
    case UInt8(ascii: "{"): return .object
    case UInt8(ascii: "["): return .array
    case UInt8(ascii: "\""): return .string
    case UInt8(ascii: "t"), UInt8(ascii: "f"): return .boolean
    case UInt8(ascii: "n"): return .null
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number
    default: throw failure("expected a value")
    }
  }

  /// Nothing but space may follow.
  package mutating func finish() throws(JSONError) {
    skipSpace()
    guard offset == bytes.count else { throw failure("text after the value") }
  }

  // MARK: Containers

  /// - Parameter checksNames: false when the caller itself refuses a name that stands twice.
  package mutating func beginObject(checksNames: Bool = true) throws(JSONError) {
    try open("{", Container(isObject: true, names: checksNames ? ByteStringTable() : nil))
  }

  package mutating func beginArray() throws(JSONError) {
    try open("[", Container(isObject: false, names: nil))
  }

  /// Goes to the next member of the innermost object, whose value must be read next.
  ///
  /// - Returns: false at the object's end, which is then closed.
  package mutating func nextName(into name: inout [UInt8]) throws(JSONError) -> Bool {
    precondition(containers.last?.isObject == true, "no object is open")
    guard try next("}") else { return false }
    let start = offset
    try string(into: &name)
    let last = containers.count - 1
    if containers[last].names?.insert(name.span).isNew == false {
      throw JSONError("\"\(String(decoding: name.prefix(60), as: UTF8.self))\" stands twice", offset: start)
    }
    try expect(":")
    return true
  }

  /// The same; nil at the object's end.
  package mutating func nextName() throws(JSONError) -> String? {
    var name: [UInt8] = []
    return try nextName(into: &name) ? String(decoding: name, as: UTF8.self) : nil
  }

  /// Goes to the next element of the innermost array, which must be read next.
  ///
  /// - Returns: false at the array's end, which is then closed.
  package mutating func nextElement() throws(JSONError) -> Bool {
    precondition(containers.last?.isObject == false, "no array is open")
    return try next("]")
  }

  /// Reads any value and forgets it; it is checked all the same.
  package mutating func skipValue() throws(JSONError) {
    let depth = containers.count
    // Not a local: strings of many skips share its memory.
    var scratch: [UInt8] = []
    swap(&scratch, &skipped)
    repeat {
      switch try kind() {
      case .object: try beginObject()
      case .array: try beginArray()
      case .string: try string(into: &scratch)
      case .number: _ = try number()
      case .boolean: _ = try boolean()
      case .null: try null()
      }
      while let container = containers.last, containers.count > depth {
        if try container.isObject ? nextName(into: &scratch) : nextElement() { break }
      }
    } while containers.count > depth
    swap(&scratch, &skipped)
  }

  private mutating func open(_ bracket: Unicode.Scalar, _ container: Container) throws(JSONError) {
    try expect(bracket)
    guard containers.count < Self.maximumDepth else {
      throw failure("nested deeper than \(Self.maximumDepth)")
    }
    containers.append(container)
  }

  /// Goes past what stands before the next member; false when `bracket` closes the container instead.
  private mutating func next(_ bracket: Unicode.Scalar) throws(JSONError) -> Bool {
    let last = containers.count - 1
    let isFirst = containers[last].isFirst
    containers[last].isFirst = false
    if accept(bracket) {
      containers.removeLast()
      return false
    }
    guard isFirst || accept(",") else { throw failure("expected '\(bracket)' or ','") }
    return true
  }

  // MARK: Bytes

  mutating func skipSpace() {
    while offset < bytes.count {
      switch bytes[offset] {
      case 0x20, 0x09, 0x0A, 0x0D: offset += 1
      default: return
      }
    }
  }

  mutating func accept(_ character: Unicode.Scalar) -> Bool {
    skipSpace()
    guard offset < bytes.count, bytes[offset] == UInt8(ascii: character) else { return false }
    offset += 1
    return true
  }

  mutating func expect(_ character: Unicode.Scalar) throws(JSONError) {
    guard accept(character) else { throw failure("expected '\(character)'") }
  }

  package func failure(_ message: String) -> JSONError { JSONError(message, offset: offset) }
}
