/// Makes documents with planted numbers from a text without digits.
public struct NumberPlanter: Sendable {
  public let planting: NumberPlanting
  private let text: DigitFreeText

  /// - Throws: `invalidArgument`, `doesNotFit`.
  public init(_ planting: NumberPlanting, text: DigitFreeText) throws(RecallTaskError) {
    try planting.check()
    self.planting = planting
    self.text = text
  }

  /// Document `index` of the seed: exactly `length` bytes, the same whichever others are made.
  ///
  /// - Throws: `doesNotFit` when its text has too few blanks to hold its numbers.
  public func document(_ index: Int) throws(RecallTaskError) -> PlantedDocument {
    var random = TaskRandom(seed: planting.seed, index: index)
    let isPlain = random.unit() < planting.plainShare
    let count = isPlain ? 0 : random.draw(planting.numbers)
    // Words differ from text to text, so what one cannot hold another can.
    for _ in 0..<100 {
      let base = Array(try text.slice(planting.textBytes(count), &random))
      guard let places = places(count, in: base, &random) else { continue }
      return assemble(base, places, numbers(count, &random), index)
    }
    throw planting.tooMuch(count)
  }

  /// A number's statement and question: each stands in the text before this byte.
  private struct Places {
    var stated: Int
    var asked: Int?
  }

  /// Numbers whose beginnings differ.
  private func numbers(_ count: Int, _ random: inout TaskRandom) -> [String] {
    var used: Set<String> = []
    var numbers: [String] = []
    while numbers.count < count {
      let number = random.digits(planting.digits)
      if used.insert(String(number.prefix(PlantedNumber.askedDigits))).inserted { numbers.append(number) }
    }
    return numbers
  }

  /// Draws where to state and to ask: the statement anywhere that leaves room, the question anywhere far enough behind. No two
  /// stand at the same blank.
  ///
  /// - Returns: nil when the draw came to a dead end.
  private func places(_ count: Int, in base: [UInt8], _ random: inout TaskRandom) -> [Places]? {
    var free = base.indices.dropFirst().filter {
      base[$0 - 1] == 0x20 && !DigitFreeText.isBlank(base[$0])
    }
    // The statement ends one byte behind its own place, with the blank that belongs to it.
    let distance = planting.gap + 2
    var places: [Places] = []
    for _ in 0..<count {
      let last = planting.asked == .inline ? (free.last ?? 0) : base.count
      let eligible = free.prefix { $0 + distance <= last }
      guard !eligible.isEmpty else { return nil }
      let stated = free.remove(at: random.below(eligible.count))
      guard planting.asked == .inline else {
        places.append(Places(stated: stated, asked: nil))
        continue
      }
      let first = free.firstIndex { $0 >= stated + distance } ?? free.count
      guard first < free.count else { return nil }
      places.append(Places(stated: stated, asked: free.remove(at: first + random.below(free.count - first))))
    }
    return places
  }

  private func assemble(
    _ base: [UInt8], _ places: [Places], _ numbers: [String], _ index: Int
  ) -> PlantedDocument {
    var planted = numbers.map { PlantedNumber(number: $0, stated: 0, asked: nil) }
    var insertions: [(at: Int, number: Int, isQuestion: Bool)] = []
    for (number, places) in places.enumerated() {
      insertions.append((places.stated, number, false))
      if let asked = places.asked { insertions.append((asked, number, true)) }
    }
    insertions.sort { $0.at < $1.at }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(planting.length)
    var done = 0
    for insertion in insertions {
      bytes += base[done..<insertion.at]
      done = insertion.at
      // Both begin with the text's own blank.
      let begin = bytes.count - 1
      if insertion.isQuestion {
        planted[insertion.number].asked = begin
      } else {
        planted[insertion.number].stated = begin
      }
      bytes += "[\(planted[insertion.number].number)] ".utf8
    }
    bytes += base[done...]
    precondition(bytes.count == planting.length)
    return PlantedDocument(
      text: String(decoding: bytes, as: UTF8.self), planted: planted.sorted { $0.stated < $1.stated },
      index: index, seed: planting.seed)
  }
}
