/// A test of what a model still knows of a document's beginning at its end.
public enum RecallTask: String, Sendable, Hashable, Codable, CaseIterable {
  /// Planted numbers; ``NumberPlanter`` makes their documents.
  case numbers
  /// LagKV's passkey of 64 digits (arXiv 2504.04704, section 4).
  case passkey
  /// RULER's tasks that need no data of others (arXiv 2404.06654, section 3 and appendices B and D).
  case niahSingle1 = "niah-single-1"
  case niahMultikey2 = "niah-multikey-2"
  case niahMultikey3 = "niah-multikey-3"
  case variableTracking = "variable-tracking"
  case frequentWords = "frequent-words"

  public var scoring: RecallScoring {
    switch self {
    case .numbers: .beginning
    case .passkey: .longestRun
    default: .mentions
    }
  }
}

/// Makes documents of a task from nothing but a seed. Document `index` of a seed is the same whichever others are made.
public struct RecallDocuments: Sendable {
  public let task: RecallTask
  /// Most tokens of a document with its question; met within 2%, or a needle's length.
  public let length: Int
  public let seed: UInt64

  /// - Throws: `invalidArgument` for ``RecallTask/numbers``, which need a text, and for lengths that no model has.
  public init(_ task: RecallTask, length: Int, seed: UInt64) throws(RecallTaskError) {
    guard task != .numbers else {
      throw RecallTaskError(.invalidArgument, "numbers are planted in a text: use NumberPlanter")
    }
    guard (1...(1 << 30)).contains(length) else {
      throw RecallTaskError(.invalidArgument, "a document of \(length) tokens")
    }
    self.task = task
    self.length = length
    self.seed = seed
  }

  /// - Parameter tokens: the length of a text in the tokens of the model that will read it.
  /// - Throws: `doesNotFit` when the shortest document of the task is longer; what `tokens` throws.
  public func document(_ index: Int, tokens: (String) throws -> Int) throws -> RecallDocument {
    let random = TaskRandom(seed: seed, index: index)
    return try fit(tokens) { units in
      var random = random
      return switch task {
      case .numbers: nil
      case .passkey: Passkey.document(units, &random)
      case .niahSingle1: Needles.single(units, &random)
      case .niahMultikey2: Needles.multikey(units, keys: .words, &random)
      case .niahMultikey3: Needles.multikey(units, keys: .identifiers, &random)
      case .variableTracking: VariableTracking.document(units, &random)
      case .frequentWords: FrequentWords.document(units, length: length, &random)
      }
    }
  }

  /// The document of most units of filler that is not too long. Length grows nearly evenly with units, so few are tried.
  private func fit(
    _ tokens: (String) throws -> Int, _ make: (Int) -> RecallDocument?
  ) throws -> RecallDocument {
    func measure(_ document: RecallDocument) throws -> Int {
      try tokens(document.text + (document.questions.first?.prompt ?? ""))
    }
    var (low, high) = (1, Int.max)
    guard var best = make(low) else { throw tooShort(nil) }
    var (lowTokens, highTokens) = (try measure(best), Int.max)
    guard lowTokens <= length else { throw tooShort(lowTokens) }
    var guess = 8
    while high - low > 1, length - lowTokens > length / 100 {
      guard let document = make(guess) else {
        // The task has no more units than that: take what there is, if it is long enough.
        (high, highTokens) = (guess, Int.max)
        guess = low + (high - low) / 2
        continue
      }
      let count = try measure(document)
      if count <= length {
        (low, lowTokens, best) = (guess, count, document)
      } else {
        (high, highTokens) = (guess, count)
      }
      guess = next(low, lowTokens, high, highTokens)
    }
    guard length - lowTokens <= max(length / 50, 128) else {
      throw RecallTaskError(
        .doesNotFit, "the longest document of task \(task.rawValue) has \(lowTokens) tokens, not \(length)")
    }
    return best
  }

  private func next(_ low: Int, _ lowTokens: Int, _ high: Int, _ highTokens: Int) -> Int {
    if high == Int.max { return low + max(1, min(low * 15, low * (length - lowTokens) / max(1, lowTokens))) }
    if highTokens == Int.max { return low + (high - low) / 2 }
    let part = Double(length - lowTokens) / Double(highTokens - lowTokens)
    return min(high - 1, max(low + 1, low + Int(part * Double(high - low))))
  }

  private func tooShort(_ least: Int?) -> RecallTaskError {
    RecallTaskError(
      .doesNotFit,
      "task \(task.rawValue) does not fit in \(length) tokens"
        + (least.map { ": its shortest document has \($0)" } ?? ""))
  }
}
