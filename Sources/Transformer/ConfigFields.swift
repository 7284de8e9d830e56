import Foundation
import StrictJSON

/// The fields of `config.json`, read with their names in every error.
struct ConfigFields {
  let members: [String: JSONValue]
  let path: String
  /// Where in the file the members are, for errors: empty, or the enclosing field and a dot.
  private let prefix: String

  /// Longest configuration that is read, in bytes.
  static let maximumBytes = 1 << 20
  /// Positions that any field may give.
  static let maximumPositions = 1 << 40

  init(_ data: Data, path: String) throws(ModelError) {
    guard data.count <= Self.maximumBytes else {
      throw ModelError(.malformed, "\(data.count) bytes; at most \(Self.maximumBytes) are read", path: path)
    }
    do throws(JSONError) {
      guard case .object(let members) = try JSONValue(Array(data)) else {
        throw JSONError("not an object", offset: 0)
      }
      self.members = members
    } catch {
      throw ModelError(.malformed, "not a JSON object: \(error)", path: path)
    }
    self.path = path
    prefix = ""
  }

  init(_ members: [String: JSONValue], path: String, prefix: String) {
    self.members = members
    self.path = path
    self.prefix = prefix
  }

  func failure(_ code: ModelError.Code, _ field: String, _ message: String) -> ModelError {
    ModelError(code, message, path: path, name: prefix + field)
  }

  subscript(field: String) -> JSONValue { members[field] ?? .null }

  /// Whether the field is there and not null.
  func has(_ field: String) -> Bool { self[field] != .null }

  func string(_ field: String) throws(ModelError) -> String {
    guard case .string(let value) = self[field] else {
      throw failure(.malformed, field, "\(self[field]) is not a string")
    }
    return value
  }

  func integer(_ field: String, in range: ClosedRange<Int>, default absent: Int? = nil) throws(ModelError)
    -> Int
  {
    if let absent, !has(field) { return absent }
    guard case .integer(let value) = self[field], range.contains(value) else {
      throw failure(
        .malformed, field, "\(self[field]) is not an integer in \(range.lowerBound)...\(range.upperBound)")
    }
    return value
  }

  func number(_ field: String, default absent: Double? = nil) throws(ModelError) -> Double {
    if let absent, !has(field) { return absent }
    guard let value = self[field].double, value.isFinite else {
      throw failure(.malformed, field, "\(self[field]) is not a number")
    }
    return value
  }

  func boolean(_ field: String, default absent: Bool) throws(ModelError) -> Bool {
    guard has(field) else { return absent }
    guard case .boolean(let value) = self[field] else {
      throw failure(.malformed, field, "\(self[field]) is not a boolean")
    }
    return value
  }

  /// One token id, several, or none.
  func tokens(_ field: String, vocabularySize: Int) throws(ModelError) -> [UInt32] {
    let values: [JSONValue] =
      switch self[field] {
      case .null: []
      case .array(let several): several
      case let one: [one]
      }
    var result: [UInt32] = []
    for value in values {
      guard case .integer(let id) = value, (0..<vocabularySize).contains(id) else {
        throw failure(.malformed, field, "\(value) is not a token id below vocab_size, \(vocabularySize)")
      }
      result.append(UInt32(id))
    }
    return result
  }

  /// Refuses a field that is there with another value than these.
  func refuse(_ field: String, unless accepted: [JSONValue]) throws(ModelError) {
    guard has(field), !accepted.contains(self[field]) else { return }
    let only = accepted.first.map { "; only \($0) is" } ?? ""
    throw failure(.unsupported, field, "\(self[field]) is not supported\(only)")
  }
}
