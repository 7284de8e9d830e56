/// RULER's needles in a haystack (arXiv 2404.06654, appendix D, table 7): a value is stated for a key, and asked for.
enum Needles {
  enum Keys { case words, identifiers }

  /// One needle in repeated filler: a word's number (single 1).
  static func single(_ units: Int, _ random: inout TaskRandom) -> RecallDocument {
    let needle = Needle(key: Word.key(random.below(Word.keys)), value: number(&random), kind: "number")
    let (filler, begins) = Filler.text(units, with: [needle.line], &random)
    return document(filler, needle, begins[0])
  }

  /// Nothing but needles, one of which is asked for: words' numbers (multikey 2), or identifiers' identifiers (multikey 3).
  ///
  /// - Returns: nil when there are not so many keys.
  static func multikey(_ units: Int, keys: Keys, _ random: inout TaskRandom) -> RecallDocument? {
    guard keys == .identifiers || units <= Word.keys / 2 else { return nil }
    var used: Set<Int> = []
    var needles: [Needle] = []
    while needles.count < units {
      switch keys {
      case .identifiers:
        // 122 random bits do not collide.
        needles.append(Needle(key: identifier(&random), value: identifier(&random), kind: "uuid"))
      case .words:
        let key = random.below(Word.keys)
        guard used.insert(key).inserted else { continue }
        needles.append(Needle(key: Word.key(key), value: number(&random), kind: "number"))
      }
    }
    let asked = random.below(units)
    var text = ""
    var begin = 0
    for (index, needle) in needles.enumerated() {
      if index == asked { begin = text.utf8.count }
      text += needle.line + "\n"
    }
    return document(text, needles[asked], begin)
  }

  private struct Needle {
    var key: String
    var value: String
    /// `number` or `uuid`.
    var kind: String

    var statement: String { "One of the special magic \(kind)s for \(key) is: " }
    var line: String { statement + value + "." }
  }

  private static func document(_ haystack: String, _ needle: Needle, _ begin: Int) -> RecallDocument {
    let kind = needle.kind
    let opening =
      "Some special magic \(kind)s are hidden within the following text. Make sure to memorize it. I will quiz you about "
      + "the \(kind)s afterwards.\n"
    let text = opening + haystack
    let subject = "the special magic \(kind) for \(needle.key) mentioned in the provided text"
    let value = opening.utf8.count + begin + needle.statement.utf8.count
    return RecallDocument(
      text: text,
      questions: [
        RecallQuestion(
          place: text.utf8.count, prompt: "What is \(subject)? The\(subject.dropFirst(3)) is",
          answer: " " + needle.value, expected: [needle.value], maximumTokens: 128,
          evidence: [value..<value + needle.value.utf8.count])
      ])
  }

  /// Seven digits, the first of them not zero.
  private static func number(_ random: inout TaskRandom) -> String {
    String(random.draw(1_000_000...9_999_999))
  }

  /// A random UUID: version 4, variant 1.
  private static func identifier(_ random: inout TaskRandom) -> String {
    let (high, low) = (random.next(), random.next())
    let digits =
      hexadecimal(high & 0xFFFF_FFFF_FFFF_0FFF | 0x4000) + hexadecimal(low & 0x3FFF_FFFF_FFFF_FFFF | 1 << 63)
    var text = ""
    for (index, digit) in digits.enumerated() {
      if [8, 12, 16, 20].contains(index) { text.append("-") }
      text.append(digit)
    }
    return text
  }

  private static func hexadecimal(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
