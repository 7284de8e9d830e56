import StrictJSON

/// A `tokenizer.model` of SentencePiece, BPE or unigram, as Llama 2 and Mistral have it.
///
/// The tokens of a text are those of `SentencePieceProcessor::Encode` of libsentencepiece. Text such as `<s>` is text: special
/// tokens come from the parameters of `encode` alone.
///
/// A space stands as U+2581 within pieces, so a U+2581 of the text itself comes back as a space. With byte fallback and without
/// normalisation (Llama 2, Mistral) everything else comes back as it was.
public final class SentencePieceTokenizer: Tokenizer {
  /// What is put around a text that begins a document: `tokenizer_config.json`.
  public struct Options: Sendable, Hashable {
    /// Whether the text begins with the begin-of-text token (`add_bos_token`).
    public var addsBeginOfText = true
    /// Whether it ends with the end-of-text token (`add_eos_token`).
    public var addsEndOfText = false

    public init() {}
  }

  public let vocabularySize: Int
  public let summary: String
  /// The token that begins a document, and the one that ends it; nil where the model has none.
  public let beginOfText: UInt32?
  public let endOfText: UInt32?
  public let options: Options

  /// What every token stands for within a text.
  private let surfaces: [[UInt8]]
  /// Whether a token's piece begins with U+2581.
  private let beginsWithSpace: [Bool]
  private let stripsFirstSpace: Bool
  private let stripsLeadingSpaces: Bool
  private let parts: SentencePieceParts

  /// - Parameter model: the bytes of the file.
  /// - Throws: `malformed`, with the byte offset where there is one, or `unsupported`.
  public init(model bytes: [UInt8], options: Options = Options()) throws(TokenizerError) {
    let model = try SentencePieceModel(bytes)
    let parts = try SentencePieceParts(model)
    let processor = parts.processor
    let count = processor.library.vocabularySize
    vocabularySize = count
    beginOfText = processor.library.beginOfText
    endOfText = processor.library.endOfText
    self.options = options
    guard !options.addsBeginOfText || beginOfText != nil else {
      throw TokenizerError(.unsupported, "the model has no begin-of-text token", name: "add_bos_token")
    }
    guard !options.addsEndOfText || endOfText != nil else {
      throw TokenizerError(.unsupported, "the model has no end-of-text token", name: "add_eos_token")
    }
    summary = "SentencePiece \(model.algorithm == .bpe ? "BPE" : "unigram"), \(Self.grouped(count)) tokens"
    surfaces = (0..<count).map { Self.surface(of: $0, processor.library, unknown: model.unknownSurface) }
    beginsWithSpace = (0..<count).map {
      [.normal, .unused].contains(processor.library.kind($0))
        && processor.library.piece($0).starts(with: Self.escapedSpace)
    }
    stripsFirstSpace = model.addsDummyPrefix
    stripsLeadingSpaces = model.removesExtraSpaces
    self.parts = parts
  }

  /// - Throws: `invalidText` with the byte offset where the text is not UTF-8: the library would replace such bytes without
  ///   a word. `invalidText` also for a text of gigabytes that cannot be cut.
  /// - Complexity: O(bytes) for text with spaces or lines.
  public func encode(_ text: [UInt8], isBeginning: Bool) throws(TokenizerError) -> [UInt32] {
    let offset = UTF8Scalar.endOfWellFormed(in: text.span, from: 0)
    if offset < text.count {
      throw TokenizerError(.invalidText, "the text is not UTF-8 at byte \(offset)")
    }
    guard isBeginning else { return try parts.encode(text, isBeginning: false) }
    var ids: [UInt32] = []
    if options.addsBeginOfText, let beginOfText { ids.append(beginOfText) }
    ids += try parts.encode(text, isBeginning: true)
    if options.addsEndOfText, let endOfText { ids.append(endOfText) }
    return ids
  }

  /// The tokens of a text that is handed to the library in one piece, without what `options` add: the oracle of `encode`.
  package func encodeWhole(_ text: [UInt8], isBeginning: Bool) throws(TokenizerError) -> [UInt32] {
    try parts.encode(text, isBeginning: isBeginning, isWhole: true)
  }

  public func bytes(of token: UInt32) -> [UInt8] {
    let index = Int(token)
    return index < surfaces.count ? surfaces[index] : []
  }

  /// The text of a document from its beginning. The space that `encode` put before it is removed; bytes that are not UTF-8 are
  /// kept, where the library's `Decode` replaces them.
  public func decode(_ tokens: [UInt32]) -> [UInt8] {
    var text: [UInt8] = []
    var mayStrip = stripsFirstSpace || stripsLeadingSpaces
    for token in tokens {
      let surface = bytes(of: token)
      if mayStrip, text.isEmpty, Int(token) < surfaces.count, beginsWithSpace[Int(token)] {
        text += surface.dropFirst()
        mayStrip = stripsLeadingSpaces
      } else {
        text += surface
      }
    }
    return text
  }

  private static let escapedSpace = Array("\u{2581}".utf8)

  private static func surface(
    of id: Int, _ processor: borrowing SentencePieceProcessor, unknown: [UInt8]
  ) -> [UInt8] {
    let piece = processor.piece(id)
    switch processor.kind(id) {
    case .control: return []
    case .unknown: return unknown
    case .byte:
      // The library has checked that byte pieces are `<0x00>` to `<0xFF>`.
      let digits = String(decoding: piece.dropFirst(3).prefix(2), as: UTF8.self)
      return UInt8(digits, radix: 16).map { [$0] } ?? []
    case .normal, .unused:
      var surface: [UInt8] = []
      var rest = piece[...]
      while let first = rest.first {
        let isSpace = rest.starts(with: escapedSpace)
        surface.append(isSpace ? 0x20 : first)
        rest = rest.dropFirst(isSpace ? escapedSpace.count : 1)
      }
      return surface
    }
  }

  /// 151669 as `151,669`.
  private static func grouped(_ number: Int) -> String {
    var digits = String(number)[...]
    var groups: [Substring] = []
    while digits.count > 3 {
      groups.append(digits.suffix(3))
      digits = digits.dropLast(3)
    }
    return ([digits] + groups.reversed()).joined(separator: ",")
  }
}
