/// Encodes a text part by part, with tokens as if it were encoded whole.
///
/// The library needs some hundred bytes of memory for a byte of text and, for BPE, a priority queue over the whole of it. A
/// BPE text is therefore cut at every word (`TextCuts`), and the tokens of short words are remembered within one call. A
/// unigram text is cut at 64 KiB, see `docs/decisions/0009-sentencepiece.md`.
struct SentencePieceParts: Sendable {
  /// The shortest part of a text, but for the last.
  static func minimumBytes(_ algorithm: SentencePieceModel.Algorithm) -> Int {
    switch algorithm {
    case .bpe: 1
    case .unigram: 64 << 10
    }
  }

  /// Holds what cannot be copied.
  final class Loaded: Sendable {
    let library: SentencePieceProcessor
    init(_ model: SentencePieceModel, addsDummyPrefix: Bool) throws(TokenizerError) {
      library = try SentencePieceProcessor(model, addsDummyPrefix: addsDummyPrefix)
    }
  }

  /// The processor that adds no prefix.
  let processor: Loaded
  private let prefixing: Loaded
  private let cuts: TextCuts
  private let addsDummyPrefix: Bool
  private let removesExtraSpaces: Bool
  private let minimumBytes: Int
  private let remembersWords: Bool
  /// The bytes of a part that the library can take: it counts in 32 bits.
  private let maximumBytes: Int
  /// The unknown token where a run of unknown characters becomes one token.
  private let mergedUnknown: UInt32?

  init(_ model: SentencePieceModel) throws(TokenizerError) {
    processor = try Loaded(model, addsDummyPrefix: false)
    prefixing = try Loaded(model, addsDummyPrefix: true)
    cuts = model.cuts.build()
    addsDummyPrefix = model.addsDummyPrefix
    removesExtraSpaces = model.removesExtraSpaces
    minimumBytes = Self.minimumBytes(model.algorithm)
    remembersWords = model.algorithm == .bpe
    maximumBytes = (Int(Int32.max) - 16) / model.expansion
    mergedUnknown = model.byteFallback ? nil : processor.library.unknown
  }

  /// - Parameters:
  ///   - isBeginning: whether the model's dummy prefix, if it has one, comes before the text.
  ///   - isWhole: whether the text is left in one piece: what the parts are compared with.
  func encode(_ text: [UInt8], isBeginning: Bool, isWhole: Bool = false) throws(TokenizerError) -> [UInt32] {
    // Where spaces are squeezed, the space that a continuation begins with comes back as a prefix.
    let beginsWithSpace = removesExtraSpaces && text.first == 0x20
    let first = isBeginning && addsDummyPrefix || !isBeginning && beginsWithSpace ? prefixing : processor
    let following = cuts.partsTakePrefix ? prefixing : processor
    var words = WordMemory()
    var ids: [UInt32] = []
    ids.reserveCapacity(text.count / 3)
    var start = 0
    while start < text.count {
      let end = isWhole ? text.count : cuts.end(of: start, in: text, minimum: minimumBytes)
      let part = text[start..<end]
      guard part.count <= maximumBytes else {
        throw TokenizerError(
          .invalidText,
          "\(part.count) bytes that cannot be cut, at byte \(start); at most \(maximumBytes) are supported")
      }
      // A part that vanished in normalisation was not the first.
      let processor = ids.isEmpty ? first : following
      let before = ids.count
      if remembersWords, before > 0, let known = words[part] {
        ids += known
      } else {
        try processor.library.encode(part, into: &ids)
        if remembersWords, before > 0 { words.remember(part, ids[before...]) }
      }
      if let mergedUnknown, before > 0, ids.count > before, ids[before] == mergedUnknown,
        ids[before - 1] == mergedUnknown
      {
        ids.remove(at: before)
      }
      start = end
    }
    return ids
  }
}

/// The tokens of words met before, within one text.
private struct WordMemory {
  /// Longer words are rarely met twice.
  static let maximumWordBytes = 24
  static let maximumWords = 1 << 16

  private var tokens: [ArraySlice<UInt8>: [UInt32]] = [:]

  subscript(_ word: ArraySlice<UInt8>) -> [UInt32]? {
    word.count <= Self.maximumWordBytes ? tokens[word] : nil
  }

  mutating func remember(_ word: ArraySlice<UInt8>, _ ids: ArraySlice<UInt32>) {
    guard word.count <= Self.maximumWordBytes, tokens.count < Self.maximumWords else { return }
    tokens[word] = Array(ids)
  }
}
