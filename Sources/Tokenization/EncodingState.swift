import StrictJSON

/// The memory that encoding one text works in, and keeps for the next: known words, buffers, what the pattern engine writes to.
///
/// `@unchecked Sendable`: a tokenizer hands it to one call at a time, under its lock, and gets it back afterwards.
final class EncodingState: @unchecked Sendable {
  let matcher = SplitPattern.Matcher()
  var composition = CanonicalComposition()
  var cache = WordCache()
  var merger = WordMerger()
  var symbols: [UInt32] = []
  var written: [UInt8] = []
  /// The ids so far.
  var ids: [UInt32] = []
}

extension BytePairTokenizer {
  /// Appends the ids of a text.
  ///
  /// - Parameter begins: whether the text's first word may get a prefix space.
  func append(_ text: Span<UInt8>, begins: Bool, _ state: EncodingState) throws(TokenizerError) {
    var at = 0
    while at < text.count {
      let end = UTF8Scalar.endOfWellFormed(in: text, from: at)
      if end > at {
        try appendValid(text.extracting(at..<end), begins: begins || at > 0, state)
        at = end
      }
      let start = at
      while at < text.count, UTF8Scalar(in: text, at: at) == nil { at += 1 }
      if at > start { try appendWord(text.extracting(start..<at), state) }
    }
  }

  /// Well-formed text: added tokens, normalisation, added tokens again.
  private func appendValid(
    _ text: Span<UInt8>, begins: Bool, _ state: EncodingState
  ) throws(TokenizerError) {
    guard !rawTokens.isEmpty else { return try appendRaw(text, begins: begins, state) }
    for piece in rawTokens.pieces(of: text) {
      if let token = piece.token {
        state.ids.append(token)
      } else {
        try appendRaw(text.extracting(piece.range), begins: begins || piece.range.lowerBound > 0, state)
      }
    }
  }

  private func appendRaw(_ text: Span<UInt8>, begins: Bool, _ state: EncodingState) throws(TokenizerError) {
    guard normalizes, !CanonicalComposition.isPlain(text) else {
      return try appendNormalized(text, begins: begins, state)
    }
    var normalized: [UInt8] = []
    state.composition.normalize(text, into: &normalized)
    try appendNormalized(normalized.span, begins: begins, state)
  }

  private func appendNormalized(
    _ text: Span<UInt8>, begins: Bool, _ state: EncodingState
  ) throws(TokenizerError) {
    guard !normalizedTokens.isEmpty else { return try split(text, step: 0, begins: begins, state) }
    for piece in normalizedTokens.pieces(of: text) {
      if let token = piece.token {
        state.ids.append(token)
      } else {
        try split(text.extracting(piece.range), step: 0, begins: begins || piece.range.lowerBound > 0, state)
      }
    }
  }
}
