import Foundation
import RecallTasks
import Testing

/// What must hold of every document with planted numbers, over many seeds and shapes.
@Suite struct NumberPlanterTests {
  /// Words of a seeded length between blanks, newlines and characters of several bytes.
  static func text(_ bytes: Int) -> [UInt8] {
    var random = TaskRandom(seed: 99, index: 0)
    var text: [UInt8] = []
    while text.count < bytes {
      text += random.letters(1 + random.below(9), from: "a").utf8
      switch random.below(12) {
      case 0: text += ".\n".utf8
      case 1: text += " é–".utf8
      default: text.append(0x20)
      }
    }
    return text
  }

  private static let source = text(60_000)

  private func planter(_ planting: NumberPlanting) throws -> NumberPlanter {
    try NumberPlanter(planting, text: try DigitFreeText(Self.source, name: "text"))
  }

  private static let shapes: [NumberPlanting] = [
    NumberPlanting(length: 2048, seed: 1),
    NumberPlanting(length: 2048, numbers: 16...16, digits: 16, gap: 256, seed: 2),
    NumberPlanting(length: 700, numbers: 2...5, digits: 6, gap: 128, plainShare: 0.5, seed: 3),
    NumberPlanting(length: 2048, numbers: 8...8, asked: .end, seed: 4),
    NumberPlanting(length: 20_000, numbers: 1...100, digits: 4, gap: 1000, seed: 5),
    NumberPlanting(length: 300, numbers: 1...1, digits: 64, gap: 0, seed: 6),
  ]

  @Test(arguments: shapes) func documentsAreWhatWasAskedFor(_ planting: NumberPlanting) throws {
    let planter = try planter(planting)
    var counts: Set<Int> = []
    for index in 0..<60 {
      let document = try planter.document(index)
      let bytes = Array(document.text.utf8)
      #expect(bytes.count == planting.length)
      #expect(document.index == index && document.seed == planting.seed)
      counts.insert(document.planted.count)
      if document.planted.isEmpty {
        #expect(planting.plainShare > 0)
      } else {
        #expect(planting.numbers.contains(document.planted.count))
      }
      #expect(Set(document.planted.map { $0.number.prefix(3) }).count == document.planted.count)
      #expect(document.planted.map(\.stated) == document.planted.map(\.stated).sorted())
      for number in document.planted {
        #expect(number.number.utf8.count == planting.digits)
        let statement = String(decoding: bytes[number.statement], as: UTF8.self)
        #expect(statement == " [\(number.number)] ")
        #expect(String(decoding: bytes[number.statedAnswer], as: UTF8.self) == number.answer)
        #expect((number.asked == nil) == (planting.asked == .end))
        let asked = number.asked ?? bytes.count
        #expect(asked - number.statement.upperBound > planting.gap)
        if number.asked != nil {
          let question = String(decoding: bytes[asked..<asked + number.statement.count], as: UTF8.self)
          #expect(question == number.question + number.answer + "] ")
        }
      }
    }
    if planting.numbers.count > 4 { #expect(counts.count > 3) }
  }

  /// Without what was planted, a run of the source is left, and it has no digits.
  @Test(arguments: shapes) func nothingElseIsInTheText(_ planting: NumberPlanting) throws {
    let planter = try planter(planting)
    let source = String(decoding: Self.source, as: UTF8.self)
    for index in 0..<20 {
      let document = try planter.document(index)
      var text = document.text
      for number in document.planted {
        let parts = text.components(separatedBy: "[\(number.number)] ")
        #expect(parts.count == (planting.asked == .inline ? 3 : 2), "stated once, asked once")
        text = parts.joined()
      }
      #expect(!text.utf8.contains { (48...57).contains($0) })
      #expect(source.contains(text))
    }
  }

  /// All digits but those that a reader of the statement can know, and nothing else.
  @Test(arguments: shapes) func onlyAnswersAreDigitsToBeForetold(_ planting: NumberPlanting) throws {
    let planter = try planter(planting)
    for index in 0..<20 {
      var document = try planter.document(index)
      #expect(document.ignored == nil)
      let text = document.text
      document.ignoreUnforeseeableDigits()
      #expect(document.text == text)
      let ignored = try #require(document.ignored)
      #expect(ignored.flatMap { $0 } == ignored.flatMap { $0 }.sorted())
      var bytes = Array(text.utf8)
      for range in ignored {
        #expect(range.count == 2 && range[0] < range[1])
        for at in range[0]..<range[1] {
          #expect((48...57).contains(bytes[at]))
          bytes[at] = 0x23
        }
      }
      let masked = String(decoding: bytes, as: UTF8.self)
      let left = masked.split { !"0123456789".contains($0) }.map(String.init)
      let answers = document.planted.filter { $0.asked != nil }.sorted { ($0.asked ?? 0) < ($1.asked ?? 0) }
      #expect(left == answers.map(\.answer))
      #expect(left.allSatisfy { masked.contains("[###\($0)]") })
      let encoded = try JSONEncoder().encode(document)
      #expect(try JSONDecoder().decode(PlantedDocument.self, from: encoded) == document)
    }
  }

  @Test func aDocumentDoesNotDependOnTheOthers() throws {
    let planting = NumberPlanting(length: 2048, plainShare: 0.5, seed: 11)
    let all = try (0..<30).map { try planter(planting).document($0) }
    for index in [29, 3, 17] { #expect(try planter(planting).document(index) == all[index]) }
    #expect(Set(all.map(\.text)).count == 30)
    var other = planting
    other.seed = 12
    #expect(try planter(other).document(3).text != all[3].text)
  }

  @Test func aSeededShareIsPlain() throws {
    let planter = try planter(NumberPlanting(length: 600, numbers: 2...4, plainShare: 0.25, seed: 5))
    let plain = try (0..<2000).filter { try planter.document($0).planted.isEmpty }.count
    // Four standard deviations of a binomial of 2,000 draws.
    #expect(abs(plain - 500) < 78)
  }

  /// The same bytes on every machine: what a second implementation of the draws, in Python, makes.
  @Test func bytesAreFixed() throws {
    let document = try planter(NumberPlanting(length: 400, numbers: 2...4, seed: 7)).document(0)
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in document.text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    #expect(hash == 7_956_491_333_082_139_455)
    #expect(document.planted.map(\.number) == ["02762379", "27284756", "48199468", "30041393"])
  }

  @Test func onlyItsPartOfTheTextIsDrawnFrom() throws {
    let split = DigitFreeText.split(bytes: 60_000, holdOut: 0.05)
    #expect(split.training == 0..<57_000 && split.heldOut == 57_000..<60_000)
    var marked = [UInt8](repeating: 0x61, count: 60_000)
    for index in marked.indices where index % 7 == 0 { marked[index] = 0x20 }
    for index in split.heldOut where index % 7 == 1 { marked[index] = 0x7A }
    for (range, isHeldOut) in [(split.training, false), (split.heldOut, true)] {
      let planter = try NumberPlanter(
        NumberPlanting(length: 900, numbers: 2...2, seed: 1),
        text: try DigitFreeText(marked, range: range, name: "text"))
      for index in 0..<40 {
        let words = try planter.document(index).text.split(separator: " ").filter { $0.count == 6 }
        #expect(words.dropLast().allSatisfy { ($0.first == "z") == isHeldOut })
      }
    }
  }

  @Test func whatCannotBeIsSaid() throws {
    func code(_ body: () throws -> Void) -> RecallTaskError.Code? {
      do {
        try body()
        return nil
      } catch { return (error as? RecallTaskError)?.code }
    }
    #expect(code { _ = try planter(NumberPlanting(length: 400, numbers: 4...16)) } == .doesNotFit)
    #expect(code { _ = try planter(NumberPlanting(length: 2048, numbers: 0...3)) } == .invalidArgument)
    #expect(code { _ = try planter(NumberPlanting(length: 2048, digits: 3)) } == .invalidArgument)
    #expect(code { _ = try planter(NumberPlanting(length: 2048, gap: 2048)) } == .invalidArgument)
    #expect(code { _ = try planter(NumberPlanting(length: 2048, plainShare: 2)) } == .invalidArgument)
    #expect(code { _ = try planter(NumberPlanting(length: 70_000)).document(0) } == .doesNotFit)
    #expect(code { _ = try DigitFreeText(Array("in 1611".utf8), name: "t") } == .unusableText)
    #expect(code { _ = try DigitFreeText([0x61, 0xFF, 0x62], name: "t") } == .unusableText)
    #expect(code { _ = try DigitFreeText([0x61], range: 0..<2, name: "t") } == .invalidArgument)
    let blankless = [UInt8](repeating: 0x61, count: 9000)
    let blocked = try NumberPlanter(
      NumberPlanting(length: 2048), text: try DigitFreeText(blankless, name: "t"))
    #expect(code { _ = try blocked.document(0) } != nil)
  }
}
