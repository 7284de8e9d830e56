import StrictJSON

/// One line of a `.jsonl` file.
enum Record: Sendable, Hashable {
  /// `{"text": "…"}`, perhaps with `"ignored": [[from, to], …]`: bytes of the text that are not to be predicted, ascending, apart,
  /// none empty, within the text.
  case text([UInt8], ignored: [Range<Int>])
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
    var ignored: [Range<Int>]?

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
        case "ignored":
          guard try scanner.kind() == .array else { throw scanner.failure("\"ignored\" is not an array") }
          ignored = try Self.ranges(&scanner)
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

    /// Pairs of bytes, ascending and apart.
    private static func ranges(_ scanner: inout JSONScanner) throws(JSONError) -> [Range<Int>] {
      var ranges: [Range<Int>] = []
      try scanner.beginArray()
      while try scanner.nextElement() {
        guard try scanner.kind() == .array else { throw scanner.failure(notARange) }
        var bounds: [Int] = []
        try scanner.beginArray()
        while try scanner.nextElement() {
          guard bounds.count < 2 else { throw scanner.failure(notARange) }
          bounds.append(try scanner.naturalNumber())
        }
        guard bounds.count == 2 else { throw scanner.failure(notARange) }
        guard bounds[0] < bounds[1] else { throw scanner.failure("the ignored range \(bounds) is empty") }
        guard bounds[0] >= ranges.last?.upperBound ?? 0 else {
          throw scanner.failure("the ignored range \(bounds) does not lie behind the one before it")
        }
        ranges.append(bounds[0]..<bounds[1])
      }
      return ranges
    }

    private static let notARange = "an ignored range is not [from, to]"

    /// The text, with what is ignored of it.
    private func text() throws(BadText) -> Record {
      let text = strings["text", default: []]
      let ignored = ignored ?? []
      if let last = ignored.last, last.upperBound > text.count {
        throw BadText(
          "the ignored range [\(last.lowerBound), \(last.upperBound)] is outside of the text of \(text.count) bytes"
        )
      }
      return .text(text, ignored: ignored)
    }

    func record() throws(BadText) -> Record {
      let present = (strings.keys + (tokens == nil ? [] : ["tokens"])).sorted()
      switch present {
      case ["text"]: return try text()
      case _ where ignored != nil:
        throw BadText("\"ignored\" belongs to a {\"text\"} only")
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
