/// A `tokenizer.model` whose every byte has been checked, ready for the library, and what the tokenizer needs to know of it.
///
/// The file is a protobuf message, `ModelProto` of sentencepiece_model.proto. The library parses it safely and reports most
/// contradictions as errors; refused here is what it would read out of bounds, recurse on without limit, or get stuck in:
///
/// | what | in the library |
/// |---|---|
/// | the trie of `precompiled_charsmap` | followed without bounds (`SentencePieceCharsmap`) |
/// | more than 64 user-defined symbols that begin with each other | an array on the stack is read past its end |
/// | a piece of more than 1,024 bytes | its trie is built by recursion, one frame a byte |
/// | a zero byte within a piece that goes into a trie | the trie's keys end there and come out of order |
/// | scores that are not finite | no order among merges |
/// | `self_test_data` | encoded at every load: left out |
struct SentencePieceModel {
  /// How text is cut into pieces.
  enum Algorithm: Equatable {
    case bpe
    case unigram
  }

  static let maximumBytes = 64 << 20
  static let maximumPieces = 4 << 20
  /// Of one piece.
  static let maximumPieceBytes = 1024
  /// User-defined symbols of which one is a prefix of the next: the size of the library's array.
  static let maximumNestedSymbols = 64

  private(set) var algorithm = Algorithm.unigram
  private(set) var byteFallback = false
  /// Whether a space is put before a text that begins a document.
  private(set) var addsDummyPrefix = true
  /// Whether runs of spaces become one, and leading and trailing ones none.
  private(set) var removesExtraSpaces = true
  /// What the unknown piece is printed as: `" ⁇ "` unless the model says otherwise.
  private(set) var unknownSurface = Array(" \u{2047} ".utf8)
  /// The most bytes that one byte of text becomes before it is cut into pieces. A space becomes U+2581, three bytes.
  private(set) var expansion = 3
  /// Where text may be cut.
  private(set) var cuts = TextCuts.Builder()
  /// The message for the library.
  private(set) var serialized: [UInt8] = []

  private let bytes: [UInt8]
  private var pieceCount = 0
  private var userDefined: [Range<Int>] = []
  private var pieceWithZero: Int?
  private var charsmap: Range<Int>?

  /// - Parameter bytes: the whole file.
  /// - Throws: `malformed`, with the byte offset, or `unsupported`.
  init(_ bytes: [UInt8]) throws(TokenizerError) {
    guard bytes.count <= Self.maximumBytes else {
      throw TokenizerError(.malformed, "\(bytes.count) bytes; at most \(Self.maximumBytes) are read")
    }
    self.bytes = bytes
    serialized.reserveCapacity(bytes.count)
    var reader = ProtobufReader(bytes, bytes.indices)
    while let field = try reader.next() {
      switch field.number {
      case 1: try readPiece(try field.range("pieces"))
      case 2: try readTrainer(try field.range("trainer_spec"))
      case 3: try readNormalizer(try field.range("normalizer_spec"))
      case 4:
        _ = try field.range("self_test_data")
        continue
      case 5:
        try checkDenormalizer(try field.range("denormalizer_spec"))
        continue
      default: break
      }
      serialized += bytes[field.extent]
    }
    try checkWhole()
  }

  /// `ModelProto.SentencePiece.Type`, as far as it matters here.
  private enum Kind {
    static let normal: Int32 = 1
    static let userDefined: Int32 = 4
    static let unused: Int32 = 5
  }

  private mutating func readPiece(_ range: Range<Int>) throws(TokenizerError) {
    pieceCount += 1
    guard pieceCount <= Self.maximumPieces else {
      throw ProtobufReader.failure("more than \(Self.maximumPieces) pieces", at: range.lowerBound)
    }
    var piece = range.lowerBound..<range.lowerBound
    var kind = Kind.normal
    var reader = ProtobufReader(bytes, range)
    while let field = try reader.next() {
      switch field.number {
      case 1: piece = try field.range("piece")
      case 2:
        guard try field.float("score").isFinite else {
          throw ProtobufReader.failure("a piece's score is not finite", at: field.extent.lowerBound)
        }
      case 3: kind = try field.integer("type")
      default: break
      }
    }
    guard !piece.isEmpty else { throw ProtobufReader.failure("a piece is empty", at: range.lowerBound) }
    guard piece.count <= Self.maximumPieceBytes else {
      throw ProtobufReader.failure(
        "a piece has \(piece.count) bytes; at most \(Self.maximumPieceBytes) are supported",
        at: piece.lowerBound)
    }
    // An unknown kind reads as normal, as in every proto2 enum.
    guard !(2...3).contains(kind), kind != 6 else { return }
    if bytes[piece].contains(0) {
      guard kind != Kind.userDefined else {
        throw ProtobufReader.failure("a user-defined symbol contains a zero byte", at: piece.lowerBound)
      }
      pieceWithZero = pieceWithZero ?? piece.lowerBound
    }
    if kind == Kind.userDefined { userDefined.append(piece) }
    cuts.addPiece(bytes[piece])
  }

  private mutating func readTrainer(_ range: Range<Int>) throws(TokenizerError) {
    var reader = ProtobufReader(bytes, range)
    while let field = try reader.next() {
      switch field.number {
      case 3:
        switch try field.integer("model_type") {
        case 1: algorithm = .unigram
        case 2: algorithm = .bpe
        case let other:
          throw TokenizerError(
            .unsupported, "model type \(other); 1 (unigram) and 2 (BPE) are supported",
            name: "trainer_spec.model_type")
        }
      case 24:
        guard !(try field.boolean("treat_whitespace_as_suffix")) else {
          throw TokenizerError(
            .unsupported, "words that end in their space", name: "trainer_spec.treat_whitespace_as_suffix")
        }
      case 35: byteFallback = try field.boolean("byte_fallback")
      case 44: unknownSurface = Array(bytes[try field.range("unk_surface")].prefix { $0 != 0 })
      default: break
      }
    }
  }

  private mutating func readNormalizer(_ range: Range<Int>) throws(TokenizerError) {
    var reader = ProtobufReader(bytes, range)
    while let field = try reader.next() {
      switch field.number {
      case 2: charsmap = try field.range("precompiled_charsmap")
      case 3: addsDummyPrefix = try field.boolean("add_dummy_prefix")
      case 4: removesExtraSpaces = try field.boolean("remove_extra_whitespaces")
      case 5:
        guard try field.boolean("escape_whitespaces") else {
          throw TokenizerError(
            .unsupported, "spaces that are not escaped", name: "normalizer_spec.escape_whitespaces")
        }
      default: break
      }
    }
  }

  /// A denormaliser would change text between the tokens and the reader, which `bytes(of:)` cannot do token by token.
  private func checkDenormalizer(_ range: Range<Int>) throws(TokenizerError) {
    var reader = ProtobufReader(bytes, range)
    while let field = try reader.next() {
      guard field.number == 2 else { continue }
      guard try field.range("precompiled_charsmap").isEmpty else {
        throw TokenizerError(.unsupported, "a denormaliser", name: "denormalizer_spec.precompiled_charsmap")
      }
    }
  }

  private mutating func checkWhole() throws(TokenizerError) {
    guard pieceCount > 0 else { throw ProtobufReader.failure("no pieces", at: 0) }
    if let pieceWithZero, algorithm == .unigram {
      throw ProtobufReader.failure("a piece contains a zero byte", at: pieceWithZero)
    }
    try checkUserDefined()
    // Where a message stands twice the last value counts, and every value before it is dropped.
    if let charsmap, !charsmap.isEmpty {
      let rules = try SentencePieceCharsmap(bytes, charsmap)
      expansion = max(expansion, rules.longestReplacement)
      cuts.addRules(rules)
    }
    cuts.removesExtraSpaces = removesExtraSpaces
  }

  /// In sorted order a symbol stands behind all its prefixes.
  private func checkUserDefined() throws(TokenizerError) {
    let sorted = userDefined.sorted { bytes[$0].lexicographicallyPrecedes(bytes[$1]) }
    var prefixes: [Range<Int>] = []
    for symbol in sorted {
      while let last = prefixes.last, !bytes[symbol].starts(with: bytes[last]) { prefixes.removeLast() }
      prefixes.append(symbol)
      guard prefixes.count <= Self.maximumNestedSymbols else {
        throw ProtobufReader.failure(
          "more than \(Self.maximumNestedSymbols) user-defined symbols begin with each other",
          at: symbol.lowerBound)
      }
    }
  }
}
