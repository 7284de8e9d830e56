/// The text of a JSON object whose members are changed while every byte around them stays: files that people and other programs
/// wrote keep their order, their spacing and the fields that nobody here knows.
package struct JSONObjectText {
  package private(set) var bytes: [UInt8]

  /// - Throws: when the bytes are not one JSON object.
  package init(_ bytes: [UInt8]) throws(JSONError) {
    self.bytes = bytes
    _ = try members()
  }

  /// Whether the object has a member of this name.
  package func has(_ name: String) throws(JSONError) -> Bool {
    try members().contains { $0.name == name }
  }

  /// Replaces a member's value, or adds the member after the last one, with the first one's indentation.
  ///
  /// - Parameters:
  ///   - name: needs no escapes in JSON.
  ///   - json: any JSON value.
  package mutating func set(_ name: String, to json: String) throws(JSONError) {
    let members = try members()
    if let member = members.first(where: { $0.name == name }) {
      bytes.replaceSubrange(member.value, with: Array(json.utf8))
      return
    }
    let open = (bytes.firstIndex(of: UInt8(ascii: "{")) ?? 0) + 1
    guard let last = members.last else {
      bytes.insert(contentsOf: Array("\"\(name)\": \(json)".utf8), at: open)
      return
    }
    let space = bytes[open...].prefix { $0 != UInt8(ascii: "\"") }
    bytes.insert(
      contentsOf: [UInt8(ascii: ",")] + space + Array("\"\(name)\": \(json)".utf8), at: last.value.upperBound)
  }

  /// Names and where their values stand, in order.
  private func members() throws(JSONError) -> [(name: String, value: Range<Int>)] {
    var scanner = JSONScanner(bytes.span)
    var result: [(name: String, value: Range<Int>)] = []
    try scanner.beginObject()
    while let name = try scanner.nextName() {
      // Finds where the value begins, after any space.
      _ = try scanner.kind()
      let start = scanner.offset
      try scanner.skipValue()
      result.append((name, start..<scanner.offset))
    }
    try scanner.finish()
    return result
  }
}
