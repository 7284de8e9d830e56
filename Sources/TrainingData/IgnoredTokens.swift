import Tokenization

/// Marks the tokens of a text of which any byte lies in an ignored range, while the text is encoded.
///
/// Where a token lies is known from its bytes: they must be those of the text, one after another. What the tokenizer puts around
/// a text has none.
struct IgnoredTokens {
  private let text: [UInt8]
  private let tokenizer: any Tokenizer
  /// Those that do not end before the next token.
  private var ranges: ArraySlice<Range<Int>>
  /// Where the next token begins.
  private var offset = 0
  /// Whether the next token is the document's first, which is never to be predicted and never marked.
  private var isFirst = true
  /// Tokens that were marked.
  private(set) var count = 0

  /// - Parameter ranges: of the text's bytes, ascending, apart; nil is returned when there are none.
  init?(_ ranges: [Range<Int>], of text: [UInt8], tokenizer: any Tokenizer) {
    if ranges.isEmpty { return nil }
    self.text = text
    self.tokenizer = tokenizer
    self.ranges = ranges[...]
  }

  /// The next tokens, marked with ``DocumentEntry/ignoredMark``.
  ///
  /// - Throws: when the tokens' bytes are not the text's.
  mutating func mark(_ ids: [UInt32]) throws(BadText) -> [UInt32] {
    var marked: [UInt32] = []
    marked.reserveCapacity(ids.count)
    for id in ids {
      let bytes = tokenizer.bytes(of: id)
      guard bytes.elementsEqual(text[offset...].prefix(bytes.count)) else { throw Self.notTheText }
      let token = offset..<offset + bytes.count
      offset = token.upperBound
      while let range = ranges.first, range.upperBound <= token.lowerBound { ranges.removeFirst() }
      let isIgnored = ranges.first.map { $0.overlaps(token) } ?? false
      let isMarked = isIgnored && !isFirst
      isFirst = false
      count += isMarked ? 1 : 0
      marked.append(isMarked ? id | DocumentEntry.ignoredMark : id)
    }
    return marked
  }

  /// Checks that the tokens were the whole text.
  func finish() throws(BadText) {
    guard offset == text.count else { throw Self.notTheText }
  }

  private static let notTheText = BadText(
    "\"ignored\" cannot be used: the tokenizer's tokens do not hold exactly the text's bytes, "
      + "so nobody knows which are meant")
}
