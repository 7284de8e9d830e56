import StrictJSON

/// One line of a `.jsonl` file.
enum Record: Sendable, Hashable {
  /// `{"text": "…"}`
  case text([UInt8])
  /// `{"tokens": [1, 2, …]}`
  case tokens([UInt32])
  /// `{"context": "…", "question": "…", "answer": "…"}`
  case question(context: [UInt8], question: [UInt8], answer: [UInt8])

  private static let kinds =
    "{\"text\"}, {\"tokens\"} or {\"context\", \"question\", \"answer\"}"

  /// Reads a line. Fields of other names are checked to be JSON and forgotten.
  ///
  /// - Parameter vocabularySize: ids of `tokens` lie below.
  init(_ line: [UInt8], vocabularySize: Int) throws(BadText) {
    var fields = Fields()
    do throws(JSONError) {
      try fields.read(line, vocabularySize: vocabularySize)
    } catch {
      throw BadText("not a record: \(error)")
    }
    self = try fields.record()
  }

  private struct Fields {
    var strings: [String: [UInt8]] = [:]
    var tokens: [UInt32]?

    mutating func read(_ line: [UInt8], vocabularySize: Int) throws(JSONError) {
      var scanner = JSONScanner(line.span)
      guard try scanner.kind() == .object else { throw scanner.failure("expected an object") }
      try scanner.beginObject()
      while let name = try scanner.nextName() {
        switch name {
        case "text", "context", "question", "answer":
          guard try scanner.kind() == .string else { throw scanner.failure("\"\(name)\" is not a string") }
          var value: [UInt8] = []
          try scanner.string(into: &value)
          strings[name] = value
        case "tokens":
          guard try scanner.kind() == .array else { throw scanner.failure("\"tokens\" is not an array") }
          tokens = try Self.tokens(&scanner, vocabularySize: vocabularySize)
        default: try scanner.skipValue()
        }
      }
      try scanner.finish()
    }

    private static func tokens(
      _ scanner: inout JSONScanner, vocabularySize: Int
    ) throws(JSONError) -> [UInt32] {
      var tokens: [UInt32] = []
      try scanner.beginArray()
      while try scanner.nextElement() {
        let id = try scanner.naturalNumber()
        guard id < vocabularySize, let token = UInt32(exactly: id) else {
          throw scanner.failure("token \(id) is outside of the vocabulary of \(vocabularySize)")
        }
        tokens.append(token)
      }
      return tokens
    }

    func record() throws(BadText) -> Record {
      let present = (strings.keys + (tokens == nil ? [] : ["tokens"])).sorted()
      switch present {
      case ["text"]: return .text(strings["text", default: []])
      case ["tokens"]: return .tokens(tokens ?? [])
      case ["answer", "context", "question"]:
        let answer = strings["answer", default: []]
        guard !answer.isEmpty else { throw BadText("the answer is empty: there is nothing to learn from") }
        return .question(
          context: strings["context", default: []], question: strings["question", default: []],
          answer: answer)
      case []: throw BadText("none of the fields of a record; expected \(kinds)")
      default:
        let names = present.map { "\"\($0)\"" }.joined(separator: ", ")
        throw BadText("the fields \(names) are no record; expected \(kinds)")
      }
    }
  }
}
