/// How numbers are planted.
public struct NumberPlanting: Sendable, Hashable, Codable {
  public enum Place: String, Sendable, Hashable, Codable, CaseIterable {
    /// Each question stands in the text, more than ``NumberPlanting/gap`` bytes behind its statement.
    case inline
    /// No question stands in the text; all are asked behind its end.
    case end
  }

  /// Bytes of a document, exactly; tokens of a model whose tokens are bytes.
  public var length: Int
  /// Numbers of a document, drawn uniformly.
  public var numbers: ClosedRange<Int>
  /// Digits of a number.
  public var digits: Int
  /// Least bytes, exclusive, between a statement and its question: two partitions, so that the statement has left the window.
  public var gap: Int
  /// Share of the documents that are plain text, drawn for each.
  public var plainShare: Double
  public var asked: Place
  public var seed: UInt64

  public init(
    length: Int, numbers: ClosedRange<Int> = 4...16, digits: Int = 8, gap: Int = 128, plainShare: Double = 0,
    asked: Place = .inline, seed: UInt64 = 0
  ) {
    self.length = length
    self.numbers = numbers
    self.digits = digits
    self.gap = gap
    self.plainShare = plainShare
    self.asked = asked
    self.seed = seed
  }

  /// Bytes that a statement, or a question with its answer, adds to the text: the blank before it is the text's.
  var unit: Int { digits + 3 }

  /// Bytes of text in a document with `count` numbers.
  func textBytes(_ count: Int) -> Int { length - (asked == .inline ? 2 : 1) * count * unit }

  /// - Throws: `invalidArgument`, or `doesNotFit` when no text could hold the most numbers.
  func check() throws(RecallTaskError) {
    guard (16...(1 << 30)).contains(length) else {
      throw RecallTaskError(.invalidArgument, "a document of \(length) bytes; 16 to 2^30 are possible")
    }
    guard numbers.lowerBound >= 1, numbers.upperBound <= 1000 else {
      throw RecallTaskError(
        .invalidArgument,
        "\(numbers.lowerBound)...\(numbers.upperBound) numbers; 1 to 1000 have three-digit beginnings of their own"
      )
    }
    guard (4...64).contains(digits) else {
      throw RecallTaskError(
        .invalidArgument,
        "numbers of \(digits) digits; 4 to 64 are possible, and three of them are the question")
    }
    guard gap >= 0, gap < length else {
      throw RecallTaskError(.invalidArgument, "a gap of \(gap) bytes in documents of \(length)")
    }
    guard (0...1).contains(plainShare) else {
      throw RecallTaskError(.invalidArgument, "a plain share of \(plainShare); 0 to 1 are possible")
    }
    guard textBytes(numbers.upperBound) > gap + 2 else { throw tooMuch(numbers.upperBound) }
  }

  func tooMuch(_ count: Int) -> RecallTaskError {
    RecallTaskError(
      .doesNotFit,
      "\(length) bytes cannot hold \(count) numbers of \(digits) digits, each asked more than \(gap) bytes behind its "
        + "statement: plant fewer, or make the documents longer")
  }
}
