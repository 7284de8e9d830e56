import ToolSupport
import Transformer

/// A stretch of the book with numbers planted in it, which are asked for at its end.
///
/// A number stands in the text as ` [41758213] `, in the place of a blank. Given ` [417`, the model should answer `58213`.
struct PlantedDocument {
  struct Number {
    let digits: String
    /// Position of its bracket in the text.
    let position: Int
    var question: String { " [" + digits.prefix(3) }
    var answer: String { String(digits.dropFirst(3)) }
  }

  static let numberCount = 16
  /// Bytes that a planted number adds: two brackets, eight digits, two blanks, less the blank that it replaces.
  static let numberBytes = 11

  /// `length` bytes.
  let text: [UInt8]
  let numbers: [Number]
  /// Bytes of the book in `text`.
  let bookBytes: Int

  /// - Parameters:
  ///   - book: text without digits.
  ///   - length: bytes of the whole document, numbers included.
  init(book: ArraySlice<UInt8>, length: Int, seed: UInt64) throws(ToolError) {
    bookBytes = length - Self.numberCount * Self.numberBytes
    let source = Array(book.prefix(bookBytes))
    guard source.count == bookBytes else {
      throw ToolError("the held-out text has \(book.count) bytes, fewer than \(bookBytes)")
    }
    guard !source.contains(where: { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else {
      throw ToolError("the text holds digits of its own; planted numbers could not be told from them")
    }
    var random = SplitMix64(seed: seed)
    var prefixes: Set<Int> = []
    var text: [UInt8] = []
    var numbers: [Number] = []
    var copied = 0
    for index in 0..<Self.numberCount {
      var value: Int
      repeat {
        value = Int.random(in: 10_000_000...99_999_999, using: &random)
      } while !prefixes.insert(value / 100_000).inserted
      // One number in each sixteenth of the text, behind a word.
      let part = index * bookBytes / Self.numberCount..<(index + 1) * bookBytes / Self.numberCount
      let start = Int.random(in: part.lowerBound..<(part.lowerBound + part.count * 3 / 4), using: &random)
      guard let blank = source[start..<part.upperBound].firstIndex(of: UInt8(ascii: " ")) else {
        throw ToolError("the text has no blank between bytes \(start) and \(part.upperBound)")
      }
      text += source[copied..<blank]
      numbers.append(Number(digits: String(value), position: text.count + 1))
      text += Array(" [\(value)] ".utf8)
      copied = blank + 1
    }
    text += source[copied...]
    self.text = text
    self.numbers = numbers
  }
}
