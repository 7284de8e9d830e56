/// A document with numbers in it, each stated once and asked once: the line of a file.
///
/// In the text, a statement is ` [41758213] ` and a question looks like its second occurrence: what stands before it, ` [417`,
/// is asked, and what follows, `58213] `, is the answer. Readers of `{"text": …}` can train on the same line.
public struct PlantedDocument: Sendable, Hashable, Codable {
  public var text: String
  /// In order of statement; empty for plain text.
  public var planted: [PlantedNumber]
  /// Which document of its seed it is.
  public var index: Int
  public var seed: UInt64
  /// Byte ranges `[from, to]`, half-open and ascending, that training does not predict; nil: none are named.
  public var ignored: [[Int]]?

  public init(text: String, planted: [PlantedNumber], index: Int, seed: UInt64) {
    self.text = text
    self.planted = planted
    self.index = index
    self.seed = seed
  }

  /// Names the digits that nobody could foretell as ignored: to predict them is to learn that digits cannot be.
  public mutating func ignoreUnforeseeableDigits() {
    ignored = planted.flatMap(\.unforeseeable).sorted { $0.lowerBound < $1.lowerBound }
      .map { [$0.lowerBound, $0.upperBound] }
  }
}

/// A number in a document.
public struct PlantedNumber: Sendable, Hashable, Codable {
  /// Digits that are the question; the others are the answer.
  public static let askedDigits = 3

  /// Its digits.
  public var number: String
  /// Byte of the document at which ` [41758213] ` begins, with its blank.
  public var stated: Int
  /// Byte at which the question ` [417` begins, with its blank; nil: not in the text, to be asked behind its end.
  public var asked: Int?

  public init(number: String, stated: Int, asked: Int?) {
    self.number = number
    self.stated = stated
    self.asked = asked
  }

  /// ` [417`
  public var question: String { " [" + number.prefix(Self.askedDigits) }
  /// `58213`
  public var answer: String { String(number.dropFirst(Self.askedDigits)) }
  /// Bytes of the document that hold the statement, both blanks included.
  public var statement: Range<Int> { stated..<stated + number.utf8.count + 4 }
  /// Bytes of the document that nobody could foretell: all digits where the number is stated, and those that ask for it.
  public var unforeseeable: [Range<Int>] {
    let digits = stated + 2..<stated + 2 + number.utf8.count
    guard let asked else { return [digits] }
    return [digits, asked + 2..<asked + 2 + Self.askedDigits]
  }
  /// Bytes of the document that hold the answer where the number is stated.
  public var statedAnswer: Range<Int> {
    stated + 2 + Self.askedDigits..<stated + 2 + number.utf8.count
  }
}
