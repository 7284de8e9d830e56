/// Which of a source's documents, and which part of a text, are held out: the last.
///
/// Of a source that is made of text files, however many, or of a single document, the last share of tokens; the text that
/// the border falls into is divided. Of a source with records, the last share of its documents.
enum HeldOutShare: Sendable, Hashable {
  /// Tokens from this one of the source on.
  case tokens(Int)
  /// Documents from this one on.
  case documents(Int)

  /// - Parameters:
  ///   - share: `0 ≤ share < 1`.
  ///   - isText: whether every file is a text file.
  init(_ share: Double, documents: Int, tokens: Int, isText: Bool) {
    func training(_ count: Int) -> Int { min(count, Int((Double(count) * (1 - share)).rounded(.down))) }
    self = isText || documents == 1 ? .tokens(training(tokens)) : .documents(training(documents))
  }

  /// How many tokens of a document, from its first, are for training: all, none, or at least 2 such that at least 2 are left.
  func trainingTokens(of entry: DocumentEntry, document: Int) -> Int {
    switch self {
    case .documents(let border): return document < border ? entry.count : 0
    case .tokens(let border):
      // What is not cut is not divided.
      if entry.isWhole { return entry.count }
      let count = max(0, min(border - entry.offset, entry.count))
      if count < 2 { return 0 }
      return entry.count - count < 2 ? entry.count : count
    }
  }
}
