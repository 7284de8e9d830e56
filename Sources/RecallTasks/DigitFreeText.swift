/// A text without digits, in which whatever digits appear later are the task's own.
public struct DigitFreeText: Sendable {
  /// UTF-8.
  let bytes: [UInt8]
  /// The part that is drawn from.
  public let range: Range<Int>

  /// - Parameters:
  ///   - bytes: of the whole text.
  ///   - range: the part that may be drawn from; nil: all of it.
  ///   - name: of the text, for errors.
  /// - Throws: `unusableText` naming the byte when the part holds a digit or is not UTF-8, `invalidArgument` when the text
  ///   does not have such a part.
  public init(_ bytes: [UInt8], range: Range<Int>? = nil, name: String) throws(RecallTaskError) {
    let range = range ?? 0..<bytes.count
    guard !range.isEmpty, range.lowerBound >= 0, range.upperBound <= bytes.count else {
      throw RecallTaskError(
        .invalidArgument,
        "\(name) has \(bytes.count) bytes; bytes \(range.lowerBound)..<\(range.upperBound) cannot be drawn from"
      )
    }
    for index in range where (48...57).contains(bytes[index]) {
      throw RecallTaskError(
        .unusableText,
        "\(name) has a digit at byte \(index): planted numbers would not be the only ones; remove the text's digits"
      )
    }
    let start = range.first { !Self.isContinuation(bytes[$0]) } ?? range.lowerBound
    guard String(validating: bytes[..<Self.characterEnd(bytes, range.upperBound)], as: UTF8.self) != nil
    else {
      throw RecallTaskError(.unusableText, "\(name) is not UTF-8")
    }
    self.bytes = bytes
    self.range = start..<range.upperBound
  }

  /// The last `share` of a text of so many bytes is held out: never trained on, only tested on.
  ///
  /// - Returns: the part to train on, and the part held out.
  public static func split(bytes: Int, holdOut share: Double) -> (training: Range<Int>, heldOut: Range<Int>) {
    precondition((0..<1).contains(share))
    let cut = Int(Double(bytes) * (1 - share))
    return (0..<cut, cut..<bytes)
  }

  /// A run of exactly `count` bytes that begins with a word and ends with a whole character.
  func slice(_ count: Int, _ random: inout TaskRandom) throws(RecallTaskError) -> ArraySlice<UInt8> {
    guard count <= range.count else {
      throw RecallTaskError(
        .doesNotFit, "a document takes \(count) bytes of text, the part to draw from has \(range.count)")
    }
    for _ in 0..<1000 {
      var start = range.lowerBound + random.below(range.count - count + 1)
      while start > range.lowerBound, start + count <= range.upperBound, !isWordStart(start) { start += 1 }
      guard start + count <= range.upperBound else { continue }
      if start + count < bytes.count, Self.isContinuation(bytes[start + count]) { continue }
      return bytes[start..<start + count]
    }
    throw RecallTaskError(
      .unusableText, "no run of \(count) bytes begins with a word: the text has too few spaces")
  }

  private func isWordStart(_ index: Int) -> Bool {
    Self.isBlank(bytes[index - 1]) && !Self.isBlank(bytes[index]) && !Self.isContinuation(bytes[index])
  }

  static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 }

  private static func isContinuation(_ byte: UInt8) -> Bool { byte & 0xC0 == 0x80 }

  /// The end of the character that `end` cuts.
  private static func characterEnd(_ bytes: [UInt8], _ end: Int) -> Int {
    var end = end
    while end < bytes.count, isContinuation(bytes[end]) { end += 1 }
    return end
  }
}
