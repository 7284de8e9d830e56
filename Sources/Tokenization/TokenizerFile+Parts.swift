import StrictJSON

extension TokenizerFile {
  /// What a tokenizer without byte-level conversion is told.
  static let sentencePieceMessage =
    "this is a SentencePiece tokenizer in Hugging Face's format, which is not read; a tokenizer.model beside it is"

  /// Parts within a sequence.
  private static let maximumParts = 16

  /// The parts of a `Sequence`; of anything else, itself. A sequence within a sequence is no part.
  static func parts(_ value: JSONValue, _ list: String, path: String) throws(TokenizerError)
    -> [TokenizerFields]
  {
    var fields = try TokenizerFields(value, path: path)
    guard try fields.string("type") == "Sequence" else { return [try TokenizerFields(value, path: path)] }
    let values = try fields.array(list)
    try fields.finish()
    guard values.count <= maximumParts else {
      throw TokenizerError(
        .unsupported, "\(values.count) parts; at most \(maximumParts) are supported", name: "\(path).\(list)")
    }
    var parts: [TokenizerFields] = []
    for (index, value) in values.enumerated() {
      parts.append(try TokenizerFields(value, path: "\(path).\(list)[\(index)]"))
    }
    return parts
  }

  /// Whether text is normalised to NFC.
  static func normalizer(_ value: JSONValue, path: String) throws(TokenizerError) -> Bool {
    guard value != .null else { return false }
    let parts = try parts(value, "normalizers", path: path)
    for var part in parts {
      switch part.take("type") {
      case .string("NFC"): try part.finish()
      case .string("Prepend"), .string("Replace"), .string("Precompiled"):
        throw TokenizerError(.byteFallback, sentencePieceMessage, name: "\(part.path).type")
      case let type: throw part.unsupported("type", type)
      }
    }
    return !parts.isEmpty
  }

  /// The ids before and after a whole text.
  static func postProcessor(
    _ value: JSONValue, path: String
  ) throws(TokenizerError) -> (prefix: [UInt32], suffix: [UInt32]) {
    var (prefix, suffix): ([UInt32], [UInt32]) = ([], [])
    guard value != .null else { return (prefix, suffix) }
    for var part in try parts(value, "processors", path: path) {
      switch part.take("type") {
      case .string("ByteLevel"): try checkByteLevel(&part)
      case .string("TemplateProcessing"):
        let (before, after) = try template(&part)
        prefix = before + prefix
        suffix += after
      case let type: throw part.unsupported("type", type)
      }
    }
    return (prefix, suffix)
  }

  /// `single`: special tokens around the text. `pair` is for two texts, which nobody encodes here.
  private static func template(
    _ part: inout TokenizerFields
  ) throws(TokenizerError) -> (before: [UInt32], after: [UInt32]) {
    var ids: [String: [UInt32]] = [:]
    let tokens = part.take("special_tokens")
    guard case .object(let members) = tokens else { throw part.unsupported("special_tokens", tokens) }
    for (name, value) in members.sorted(by: { $0.key < $1.key }) {
      var token = try TokenizerFields(value, path: "\(part.path).special_tokens[\"\(name.prefix(60))\"]")
      _ = try token.string("id")
      _ = try token.array("tokens")
      ids[name] = []
      for value in try token.array("ids") {
        guard case .integer(let id) = value, (0..<maximumID).contains(id) else {
          throw token.unsupported("ids", value)
        }
        ids[name]?.append(UInt32(id))
      }
      try token.finish()
    }
    var around: [[UInt32]] = [[]]
    for (index, piece) in try part.array("single").enumerated() {
      let path = "\(part.path).single[\(index)]"
      guard case .object(let member) = piece, member.count == 1, let (kind, value) = member.first else {
        throw TokenizerError(.unsupported, "\(piece) is not supported", name: path)
      }
      var fields = try TokenizerFields(value, path: "\(path).\(kind)")
      let id = try fields.string("id")
      _ = fields.take("type_id")
      try fields.finish()
      switch kind {
      case "Sequence" where id == "A" && around.count == 1: around.append([])
      case "SpecialToken":
        guard let token = ids[id] else { throw fields.unsupported("id", .string(id)) }
        around[around.count - 1] += token
      default:
        throw TokenizerError(.unsupported, "\(piece) \"\(id.prefix(60))\" is not supported", name: path)
      }
    }
    _ = part.take("pair")
    try part.finish()
    guard around.count == 2 else {
      throw TokenizerError(.unsupported, "the text itself is missing", name: "\(part.path).single")
    }
    return (around[0], around[1])
  }

  /// Only what undoes the byte alphabet: other decoders would make other text of the same ids.
  static func checkDecoder(_ value: JSONValue, path: String) throws(TokenizerError) {
    guard value != .null else { return }
    for var part in try parts(value, "decoders", path: path) {
      try part.expect("type", [.string("ByteLevel")])
      try checkByteLevel(&part)
    }
  }

  /// The fields of a `ByteLevel` that is no pre-tokenizer; they concern offsets, not ids.
  private static func checkByteLevel(_ part: inout TokenizerFields) throws(TokenizerError) {
    for field in ["add_prefix_space", "trim_offsets", "use_regex"] { _ = try part.boolean(field, true) }
    try part.finish()
  }
}

extension PreTokenizer {
  /// - Throws: `byteFallback` when the last part is not `ByteLevel`.
  init(_ value: JSONValue, path: String = "pre_tokenizer") throws(TokenizerError) {
    guard value != .null else {
      throw TokenizerError(.byteFallback, TokenizerFile.sentencePieceMessage, name: path)
    }
    var isByteLevel = false
    for var part in try TokenizerFile.parts(value, "pretokenizers", path: path) {
      guard !isByteLevel else {
        throw TokenizerError(.unsupported, "a step after ByteLevel is not supported", name: part.path)
      }
      switch part.take("type") {
      case .string("ByteLevel"):
        isByteLevel = true
        addsPrefixSpace = try part.boolean("add_prefix_space", true)
        _ = try part.boolean("trim_offsets", true)
        if try part.boolean("use_regex", true) {
          lastPattern = try SplitPattern(Self.byteLevelPattern, name: part.path)
        }
      case .string("Digits"):
        steps.append(.digits(isIndividual: try part.boolean("individual_digits", false)))
      case .string("Split"): steps.append(try Self.split(&part))
      case .string("Metaspace"):
        throw TokenizerError(.byteFallback, TokenizerFile.sentencePieceMessage, name: "\(part.path).type")
      case let type: throw part.unsupported("type", type)
      }
      try part.finish()
    }
    guard isByteLevel else {
      throw TokenizerError(.byteFallback, TokenizerFile.sentencePieceMessage, name: path)
    }
  }

  private static func split(_ part: inout TokenizerFields) throws(TokenizerError) -> Step {
    let behavior = try part.string("behavior")
    guard ["Isolated", "Removed"].contains(behavior) else {
      throw part.unsupported("behavior", .string(behavior))
    }
    guard try !part.boolean("invert", false) else { throw part.unsupported("invert", .boolean(true)) }
    let isKept = behavior == "Isolated"
    let pattern = part.take("pattern")
    guard case .object(let member) = pattern, member.count == 1, let (kind, value) = member.first,
      case .string(let text) = value
    else { throw part.unsupported("pattern", pattern) }
    switch kind {
    case "Regex":
      let compiled = try SplitPattern(text, name: "\(part.path).pattern.Regex")
      return isKept ? .pattern(compiled) : .removedPattern(compiled)
    case "String" where !text.isEmpty && text.utf8.count <= SplitPattern.maximumBytes:
      return isKept ? .literal(Array(text.utf8)) : .removedLiteral(Array(text.utf8))
    default: throw part.unsupported("pattern.\(kind)", value)
    }
  }
}
