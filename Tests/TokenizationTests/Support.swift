import Foundation
import StrictJSON
import Tokenization

/// The committed tokenizers and what the reference library makes of the golden texts (tools/compare/train_tokenizers.py).
enum Fixtures {
  static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Fixtures/tokenizers").path

  static func bytes(_ name: String) throws -> [UInt8] {
    try [UInt8](Data(contentsOf: URL(filePath: "\(folder)/\(name)/tokenizer.json")))
  }

  static func tokenizer(_ name: String) throws -> BytePairTokenizer {
    try BytePairTokenizer(path: "\(folder)/\(name)/tokenizer.json")
  }
}

/// Objects, arrays and what is in them, or an error that says what is missing.
extension JSONValue {
  struct Missing: Error { let what: String }

  func member(_ name: String) throws -> JSONValue {
    guard case .object(let members) = self, let value = members[name] else { throw Missing(what: name) }
    return value
  }

  func elements() throws -> [JSONValue] {
    guard case .array(let values) = self else { throw Missing(what: "an array") }
    return values
  }

  func text() throws -> String {
    guard case .string(let value) = self else { throw Missing(what: "a string") }
    return value
  }

  func ids() throws -> [UInt32] {
    try elements().map { value in
      guard case .integer(let id) = value, let id = UInt32(exactly: id) else { throw Missing(what: "an id") }
      return id
    }
  }
}
