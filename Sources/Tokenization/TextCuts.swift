/// The places where a text can be cut before it is encoded, such that the parts' tokens joined are the whole text's.
///
/// A cut is made before a space or a line feed only, and only where
/// 1. no piece holds the byte before the cut and what follows it side by side. Then no merge and no path of pieces can reach
///    over the cut, and both sides are independent (exactly so for BPE; for unigram up to the rounding of its sums);
/// 2. no rule of the normaliser ends in the byte before the cut, and none mentions a space, so both sides are normalised
///    alike;
/// 3. the byte before it is not a space, so a run of spaces stays whole.
///
/// Where the normaliser squeezes spaces, a part that begins with one loses it, and gets it back as the dummy prefix: such
/// parts are encoded with the prefix, and are cut at spaces alone.
struct TextCuts: Sendable, Equatable {
  /// The bytes after which a cut before a space is not safe; nil when none is.
  let unsafeBeforeSpace: ByteSet?
  /// The same before a line feed.
  let unsafeBeforeLineFeed: ByteSet?
  /// Whether parts after the first are encoded with a dummy prefix.
  let partsTakePrefix: Bool

  /// The end of the part that begins at `start`: the first safe cut that makes it at least `minimum` bytes long.
  func end(of start: Int, in text: [UInt8], minimum: Int) -> Int {
    var at = start + max(1, minimum)
    while at < text.count {
      let unsafe: ByteSet?
      switch text[at] {
      case 0x20: unsafe = unsafeBeforeSpace
      case 0x0A: unsafe = unsafeBeforeLineFeed
      default: unsafe = nil
      }
      if let unsafe, !unsafe.contains(text[at - 1]) { return at }
      at += 1
    }
    return text.count
  }

  /// Gathers what speaks against cuts, piece by piece.
  struct Builder {
    var removesExtraSpaces = true

    private var beforeSpace = ByteSet([space, escapedSpace[2]])
    private var beforeLineFeed = ByteSet()
    private var hasRules = false
    private var rulesMentionSpace = false

    private static let space: UInt8 = 0x20
    /// U+2581, which stands for a space within pieces.
    private static let escapedSpace: [UInt8] = [0xE2, 0x96, 0x81]

    mutating func addPiece(_ piece: ArraySlice<UInt8>) {
      for index in piece.indices.dropFirst() {
        let before = piece[index - 1]
        switch piece[index] {
        case Self.space: beforeSpace.insert(before)
        case 0x0A:
          beforeLineFeed.insert(before)
          if before == Self.escapedSpace[2] { beforeLineFeed.insert(Self.space) }
        case Self.escapedSpace[0] where piece[index...].starts(with: Self.escapedSpace):
          beforeSpace.insert(before)
        default: break
        }
      }
    }

    mutating func addRules(_ rules: SentencePieceCharsmap) {
      hasRules = true
      rulesMentionSpace = rules.mentionsSpace
      beforeSpace.formUnion(rules.lastBytes)
    }

    func build() -> TextCuts {
      TextCuts(
        unsafeBeforeSpace: rulesMentionSpace ? nil : beforeSpace,
        unsafeBeforeLineFeed: hasRules || removesExtraSpaces ? nil : beforeLineFeed,
        partsTakePrefix: removesExtraSpaces)
    }
  }
}
