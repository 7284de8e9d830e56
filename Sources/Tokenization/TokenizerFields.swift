import StrictJSON

/// One object of a tokenizer file, whose fields are taken one by one; what nobody takes is refused.
struct TokenizerFields {
  /// Where the object stands, such as `pre_tokenizer.pretokenizers[0]`.
  let path: String
  private var members: [String: JSONValue]

  init(_ value: JSONValue, path: String) throws(TokenizerError) {
    guard case .object(let members) = value else {
      throw TokenizerError(.malformed, "expected an object, not \(value)", name: path)
    }
    self.members = members
    self.path = path
  }

  /// The field's value; null when it is missing.
  mutating func take(_ name: String) -> JSONValue { members.removeValue(forKey: name) ?? .null }

  /// - Parameter standard: what a missing field means; nil when it may not be missing.
  mutating func boolean(_ name: String, _ standard: Bool? = nil) throws(TokenizerError) -> Bool {
    guard let value = members.removeValue(forKey: name) else {
      guard let standard else { throw missing(name) }
      return standard
    }
    guard case .boolean(let result) = value else { throw unsupported(name, value) }
    return result
  }

  mutating func string(_ name: String) throws(TokenizerError) -> String {
    guard let value = members.removeValue(forKey: name) else { throw missing(name) }
    guard case .string(let result) = value else { throw unsupported(name, value) }
    return result
  }

  mutating func array(_ name: String) throws(TokenizerError) -> [JSONValue] {
    guard let value = members.removeValue(forKey: name) else { throw missing(name) }
    guard case .array(let result) = value else { throw unsupported(name, value) }
    return result
  }

  /// Takes a field that may only have one of these values.
  mutating func expect(_ name: String, _ allowed: [JSONValue]) throws(TokenizerError) {
    let value = take(name)
    guard allowed.contains(value) else { throw unsupported(name, value) }
  }

  /// No field is left.
  func finish() throws(TokenizerError) {
    if let (name, value) = members.min(by: { $0.key < $1.key }) { throw unsupported(name, value) }
  }

  func unsupported(_ name: String, _ value: JSONValue) -> TokenizerError {
    TokenizerError(.unsupported, "\(value) is not supported", name: "\(path).\(name)")
  }

  private func missing(_ name: String) -> TokenizerError {
    TokenizerError(.malformed, "missing", name: "\(path).\(name)")
  }
}
