import StrictJSON

/// What a `tokenizer.json` says, every part of it checked or refused by name.
struct TokenizerFile {
  static let maximumBytes = 256 << 20
  static let maximumTokens = 4 << 20
  static let maximumMerges = 8 << 20
  static let maximumID = 1 << 24
  /// Values of a part that is read as a tree: all but the model and the added tokens.
  private static let maximumValues = 1 << 16

  var normalizes = false
  var preTokenizer = PreTokenizer()
  var prefix: [UInt32] = []
  var suffix: [UInt32] = []
  var addedTokens: [AddedToken] = []
  var ignoresMerges = false
  var vocabulary: Vocabulary
  var merges: MergeTable

  /// - Throws: `malformed`, `unsupported` or `byteFallback`, naming the field.
  init(_ bytes: [UInt8]) throws(TokenizerError) {
    var scanner = JSONScanner(bytes.span)
    var model: ModelFields?
    var preTokenizer: PreTokenizer?
    var name: [UInt8] = []
    try Self.reading("tokenizer.json", &scanner) { scanner throws(JSONError) in try scanner.beginObject() }
    while try Self.reading(
      "tokenizer.json", &scanner, { scanner throws(JSONError) in try scanner.nextName(into: &name) })
    {
      switch String(decoding: name, as: UTF8.self) {
      case "model": model = try ModelFields(&scanner)
      case "added_tokens": addedTokens = try Self.addedTokens(&scanner)
      case let field:
        let value = try Self.reading(field, &scanner) { scanner throws(JSONError) in
          try JSONValue(reading: &scanner, maximumValues: Self.maximumValues)
        }
        switch field {
        case "version" where value == .string("1.0"): break
        case "truncation" where value == .null, "padding" where value == .null: break
        case "normalizer": normalizes = try Self.normalizer(value, path: field)
        case "pre_tokenizer": preTokenizer = try PreTokenizer(value)
        case "post_processor": (prefix, suffix) = try Self.postProcessor(value, path: field)
        case "decoder": try Self.checkDecoder(value, path: field)
        default: throw TokenizerError(.unsupported, "\(value) is not supported", name: field)
        }
      }
    }
    try Self.reading("tokenizer.json", &scanner) { scanner throws(JSONError) in try scanner.finish() }
    guard let model else { throw TokenizerError(.malformed, "missing", name: "model") }
    guard let preTokenizer else {
      throw TokenizerError(.byteFallback, "null is not supported without ByteLevel", name: "pre_tokenizer")
    }
    self.preTokenizer = preTokenizer
    ignoresMerges = model.ignoresMerges
    try model.check(addedTokens)
    vocabulary = Vocabulary(strings: model.strings, ids: model.ids, added: addedTokens)
    merges = try model.resolvedMerges()
    for id in prefix + suffix where Int(id) >= vocabulary.size {
      throw TokenizerError(.malformed, "the id \(id) is no token's", name: "post_processor")
    }
  }

  /// Runs a piece of reading, whose errors then name the field.
  static func reading<Result>(
    _ name: String, _ scanner: inout JSONScanner,
    _ body: (inout JSONScanner) throws(JSONError) -> Result
  ) throws(TokenizerError) -> Result {
    do throws(JSONError) {
      return try body(&scanner)
    } catch {
      throw TokenizerError(.malformed, error.description, name: name)
    }
  }
}
