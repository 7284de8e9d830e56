/// Which tokens are to be predicted.
public enum LossScope: String, Sendable, Hashable, Codable, CaseIterable {
  /// Every token but a document's first.
  case all
  /// The tokens of the answer, and what the tokenizer puts at a text's end; records of other kinds are refused.
  case answer
}

/// How sources become documents.
public struct CorpusOptions: Sendable, Hashable {
  /// Tokens of a document at most; longer texts are cut.
  public let maximumTokens: Int
  /// Which tokens are to be predicted; nil goes by the kind of record: the answer of a question, everything else.
  public let lossOn: LossScope?
  /// Whether lines and files that cannot be used are recorded and left out, instead of ending everything.
  public let skipBad: Bool
  /// Whether texts get what the tokenizer puts around a whole text (most often a begin-of-text token).
  public let addsSpecialTokens: Bool
  /// Ids of the model; `tokens` of records are checked against it. Nil: those of the tokenizer.
  public let vocabularySize: Int?
  /// The last share of every source that is never drawn for training, `0 ≤ holdOut < 1`.
  public let holdOut: Double
  /// Where long texts are cut in epochs after the first.
  public let seed: UInt64

  /// Fewer tokens could not be cut such that every piece has 2.
  public static let smallestMaximum = 4

  /// - Throws: `invalidArgument`, saying which and why.
  public init(
    maximumTokens: Int, lossOn: LossScope? = nil, skipBad: Bool = false, addsSpecialTokens: Bool = true,
    vocabularySize: Int? = nil, holdOut: Double = 0, seed: UInt64 = 0
  ) throws(DataError) {
    guard maximumTokens >= Self.smallestMaximum, maximumTokens <= Int(Int32.max) else {
      throw DataError(
        .invalidArgument,
        "--length \(maximumTokens) is outside of \(Self.smallestMaximum)...\(Int32.max) tokens")
    }
    guard holdOut >= 0, holdOut < 1 else {
      throw DataError(.invalidArgument, "a held-out share of \(holdOut) is outside of 0 ≤ share < 1")
    }
    if let vocabularySize, !(1...DocumentEntry.largestVocabulary).contains(vocabularySize) {
      throw DataError(.invalidArgument, "a vocabulary of \(vocabularySize) tokens is outside of 1...2^31")
    }
    self.maximumTokens = maximumTokens
    self.lossOn = lossOn
    self.skipBad = skipBad
    self.addsSpecialTokens = addsSpecialTokens
    self.vocabularySize = vocabularySize
    self.holdOut = holdOut
    self.seed = seed
  }
}
