import StrictJSON

/// The `model` of a tokenizer file, as it is read: its vocabulary, and its merges as strings.
struct ModelFields {
  private(set) var ignoresMerges = false
  /// The vocabulary's strings, and their ids in the same order.
  private(set) var strings = ByteStringTable()
  private(set) var ids: [UInt32] = []
  /// Both halves of every merge, one after the other, and where each half ends.
  private var halves: [UInt8] = []
  private var ends: [Int] = []

  init(_ scanner: inout JSONScanner) throws(TokenizerError) {
    var name: [UInt8] = []
    var hasVocabulary = false
    var hasMerges = false
    try TokenizerFile.reading("model", &scanner) { scanner throws(JSONError) in try scanner.beginObject() }
    while try TokenizerFile.reading(
      "model", &scanner, { scanner throws(JSONError) in try scanner.nextName(into: &name) })
    {
      switch String(decoding: name, as: UTF8.self) {
      case "vocab":
        hasVocabulary = true
        try readVocabulary(&scanner)
      case "merges":
        hasMerges = true
        try readMerges(&scanner)
      case let field:
        let value = try TokenizerFile.reading("model.\(field)", &scanner) { scanner throws(JSONError) in
          try JSONValue(reading: &scanner, maximumValues: 1 << 10)
        }
        try take(field, value)
      }
    }
    guard hasVocabulary else { throw TokenizerError(.malformed, "missing", name: "model.vocab") }
    guard hasMerges else { throw TokenizerError(.malformed, "missing", name: "model.merges") }
  }

  private mutating func take(_ field: String, _ value: JSONValue) throws(TokenizerError) {
    switch (field, value) {
    case ("type", .string("BPE")), ("dropout", .null), ("unk_token", .null), ("unk_token", .string),
      ("continuing_subword_prefix", .null), ("continuing_subword_prefix", .string("")),
      ("end_of_word_suffix", .null), ("end_of_word_suffix", .string("")), ("fuse_unk", .boolean),
      ("byte_fallback", .boolean(false)):
      break
    case ("dropout", _) where value.double == 0: break
    case ("ignore_merges", .boolean(let ignores)): ignoresMerges = ignores
    case ("byte_fallback", .boolean(true)):
      throw TokenizerError(.byteFallback, TokenizerFile.sentencePieceMessage, name: "model.byte_fallback")
    default: throw TokenizerError(.unsupported, "\(value) is not supported", name: "model.\(field)")
    }
  }

  private mutating func readVocabulary(_ scanner: inout JSONScanner) throws(TokenizerError) {
    let kind = try TokenizerFile.reading("model.vocab", &scanner) { scanner throws(JSONError) in
      try scanner.kind()
    }
    guard kind == .object else {
      throw TokenizerError(.unsupported, "an \(kind) is not supported", name: "model.vocab")
    }
    do throws(JSONError) {
      var token: [UInt8] = []
      try scanner.beginObject(checksNames: false)
      while try scanner.nextName(into: &token) {
        guard ids.count < TokenizerFile.maximumTokens else {
          throw scanner.failure("more than \(TokenizerFile.maximumTokens) tokens")
        }
        guard strings.insert(token.span).isNew else {
          throw scanner.failure("\"\(String(decoding: token.prefix(60), as: UTF8.self))\" stands twice")
        }
        let id = try scanner.naturalNumber()
        guard id < TokenizerFile.maximumID else {
          throw scanner.failure("the id \(id); ids below \(TokenizerFile.maximumID) are supported")
        }
        ids.append(UInt32(id))
      }
    } catch {
      throw TokenizerError(.malformed, error.description, name: "model.vocab")
    }
    var isTaken = [Bool](repeating: false, count: ids.max().map { Int($0) + 1 } ?? 0)
    for id in ids {
      guard !isTaken[Int(id)] else {
        throw TokenizerError(.malformed, "the id \(id) stands twice", name: "model.vocab")
      }
      isTaken[Int(id)] = true
    }
  }

  /// Merges are `"a b"` or `["a", "b"]`.
  private mutating func readMerges(_ scanner: inout JSONScanner) throws(TokenizerError) {
    do throws(JSONError) {
      var half: [UInt8] = []
      try scanner.beginArray()
      while try scanner.nextElement() {
        let index = ends.count / 2
        guard index < TokenizerFile.maximumMerges else {
          throw scanner.failure("more than \(TokenizerFile.maximumMerges) merges")
        }
        if try scanner.kind() == .array {
          var count = 0
          try scanner.beginArray()
          while try scanner.nextElement() {
            try scanner.string(into: &half)
            count += 1
            guard count <= 2 else { break }
            append(half[...])
          }
          guard count == 2 else { throw scanner.failure("merge \(index) is not of two strings") }
        } else {
          try scanner.string(into: &half)
          let parts = half.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
          guard parts.count == 2 else {
            throw scanner.failure("merge \(index) is not two strings and a space")
          }
          append(parts[0])
          append(parts[1])
        }
      }
    } catch {
      throw TokenizerError(.malformed, error.description, name: "model.merges")
    }
  }

  private mutating func append(_ half: ArraySlice<UInt8>) {
    halves.append(contentsOf: half)
    ends.append(halves.count)
  }

  /// The merges by ids.
  ///
  /// - Throws: `malformed` when a half or what it makes is no token.
  func resolvedMerges() throws(TokenizerError) -> MergeTable {
    var table = MergeTable(count: ends.count / 2)
    var start = 0
    func id(_ range: Range<Int>, _ index: Int) throws(TokenizerError) -> UInt32 {
      guard let found = strings.index(of: halves.span.extracting(range)) else {
        let text = String(decoding: halves[range].prefix(60), as: UTF8.self)
        throw TokenizerError(
          .malformed, "\"\(text)\" is not in the vocabulary", name: "model.merges[\(index)]")
      }
      return ids[found]
    }
    for index in 0..<ends.count / 2 {
      let (middle, end) = (ends[2 * index], ends[2 * index + 1])
      let merge = MergeTable.Merge(rank: UInt32(index), token: try id(start..<end, index))
      table.insert(try id(start..<middle, index), try id(middle..<end, index), merge)
      start = end
    }
    return table
  }
}
