/// Where a document's tokens lie in a source's token file, and where they are from: six words of the file of documents.
struct DocumentEntry: Sendable, Hashable {
  static let words = 6

  /// What is known of a document; bits of the last word.
  struct Kind: OptionSet, Sendable, Hashable {
    let rawValue: UInt32
    /// A whole `.txt` file.
    static let textFile = Kind(rawValue: 1)
    /// Only the answer is to be predicted, so the document is never cut.
    static let answerOnly = Kind(rawValue: 2)
    /// Given as tokens: nobody knows the text.
    static let unknownText = Kind(rawValue: 4)
    static let all: Kind = [.textFile, .answerOnly, .unknownText]
  }

  /// The first token's index in the token file.
  var offset: Int
  /// Tokens.
  var count: Int
  /// The tokens from this one on are to be predicted, `1..<count`.
  var firstTarget: Int
  /// From 1; 0 for a whole file.
  var line: Int
  /// Index of the source's file.
  var file: Int
  var kind: Kind
  /// Tokens from `firstTarget` on that are not to be predicted: those that the token file marks. Some are left.
  var ignored = 0

  /// The word that marks a token of the token file as one that is not to be predicted; the rest is its id.
  static let ignoredMark: UInt32 = 1 << 31

  /// Ids of a vocabulary, so that none has the mark's bit.
  static let largestVocabulary = Int(ignoredMark)

  /// Whether the document is never cut: a piece might have nothing to predict.
  var isWhole: Bool { kind.contains(.answerOnly) || ignored > 0 }

  /// The words, in this order.
  var encoded: [UInt64] {
    [
      UInt64(offset), UInt64(count), UInt64(firstTarget), UInt64(line),
      UInt64(file) << 32 | UInt64(kind.rawValue), UInt64(ignored),
    ]
  }
}

extension DocumentEntry {
  /// Reads an entry; nil when it cannot be one.
  ///
  /// - Parameters:
  ///   - words: ``words`` of them.
  ///   - tokens: words of the token file.
  ///   - files: files of the source.
  init?(_ words: ArraySlice<UInt64>, tokens: Int, files: Int) {
    let first = words.startIndex
    guard let offset = Int(exactly: words[first]), let count = Int(exactly: words[first + 1]),
      let firstTarget = Int(exactly: words[first + 2]), let line = Int(exactly: words[first + 3]),
      let ignored = Int(exactly: words[first + 5])
    else { return nil }
    let file = Int(words[first + 4] >> 32)
    let kind = Kind(rawValue: UInt32(truncatingIfNeeded: words[first + 4]))
    guard count >= 2, offset <= tokens, count <= tokens - offset, (1..<count).contains(firstTarget),
      ignored < count - firstTarget, file < files, kind.isSubset(of: .all)
    else { return nil }
    self.init(
      offset: offset, count: count, firstTarget: firstTarget, line: line, file: file, kind: kind,
      ignored: ignored)
  }

  /// How many of the document's tokens `range` are to be predicted, from the token before each; all of it when it ``isWhole``.
  func targets(in range: Range<Int>) -> Int {
    max(0, range.upperBound - max(range.lowerBound + 1, firstTarget) - ignored)
  }
}
