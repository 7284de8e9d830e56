import TestSupport
import Testing
import Tokenization

@Suite struct TextStreamTests {
  private func run(_ text: [UInt8], cuts: [Int], _ stream: TextStream) -> [UInt8] {
    var stream = stream
    var output: [UInt8] = []
    var start = 0
    for cut in cuts + [text.count] {
      output += stream.append(Array(text[start..<cut])).text
      start = cut
    }
    return output + stream.finish()
  }

  /// The text before the first place where any stop string stands.
  private func expected(_ text: [UInt8], _ stops: [String]) -> [UInt8] {
    let first = text.indices.first { index in stops.contains { text[index...].starts(with: $0.utf8) } }
    return Array(text[..<(first ?? text.count)])
  }

  @Test func whateverTheCutsTheTextEndsAtTheFirstStopString() throws {
    var random = SeededGenerator(7)
    let alphabet = ["a", "b", "ab", "é", "水", "👍"]
    func word(_ range: ClosedRange<Int>) -> String {
      (0..<Int.random(in: range, using: &random)).map { _ in alphabet.randomElement(using: &random) ?? "a" }
        .joined()
    }
    var stoppedOnce = 0
    for _ in 0..<20_000 {
      var text = Array(word(0...16).utf8)
      // Some texts are not UTF-8.
      if Bool.random(using: &random), !text.isEmpty {
        text[Int.random(in: text.indices, using: &random)] = UInt8.random(in: 0x80...0xFF, using: &random)
      }
      let stops = (0..<Int.random(in: 0...3, using: &random)).map { _ in word(1...4) }
      let cuts = (0..<Int.random(in: 0...8, using: &random)).map { _ in
        Int.random(in: 0...text.count, using: &random)
      }
      .sorted()
      let expected = expected(text, stops)
      stoppedOnce += expected.count < text.count ? 1 : 0
      #expect(try run(text, cuts: cuts, TextStream(stopStrings: stops)) == expected)
      let repaired = Array(String(decoding: expected, as: UTF8.self).utf8)
      #expect(try run(text, cuts: cuts, TextStream(stopStrings: stops, replacingInvalid: true)) == repaired)
    }
    #expect(stoppedOnce > 1_000)
  }

  @Test func nothingWaitsLongerThanItMust() throws {
    var random = SeededGenerator(8)
    for _ in 0..<5_000 {
      let bytes = (0..<Int.random(in: 1...24, using: &random)).map { _ in
        ([0x61, 0x62, 0xC3, 0xA9, 0xE2, 0x82, 0xAC, 0xF0, 0x9F, 0xFF] as [UInt8]).randomElement(
          using: &random) ?? 0
      }
      let stops = ["ab", "aab", "bé", "€a"].shuffled(using: &random).prefix(2)
      var stream = try TextStream(stopStrings: Array(stops))
      for byte in bytes {
        let step = stream.append([byte])
        let held = stream.heldBytes
        let begins = stops.contains { held.count < $0.utf8.count && $0.utf8.starts(with: held) }
        let incomplete = !held.isEmpty && UTF8Sequence(held, at: 0, end: held.count) == .incomplete
        #expect(held.isEmpty || begins || incomplete)
        if step.stopped {
          #expect(held.isEmpty)
          break
        }
      }
    }
  }

  @Test func charactersComeOutWhole() throws {
    var stream = try TextStream()
    let thumb = Array("👍".utf8)
    #expect(thumb.dropLast().allSatisfy { stream.append([$0]).text.isEmpty })
    #expect(stream.append([thumb[3]]).text == thumb)
    #expect(stream.append([0xE2, 0x82]).text == [])
    #expect(stream.append([0x41]).text == [0xE2, 0x82, 0x41])
    #expect(stream.append([0xC3]).text == [])
    #expect(stream.finish() == [0xC3])
    #expect(stream.append([0x41]) == stream.append([]) && stream.finish() == [])
  }

  @Test func anUndecidedBeginningComesFirst() throws {
    var stream = try TextStream(stopStrings: ["abcd", "bc"])
    let undecided = stream.append(Array("xabc".utf8))
    #expect(undecided.text == Array("x".utf8) && !undecided.stopped)
    var other = stream
    let first = stream.append(Array("d".utf8))
    #expect(first.text == [] && first.stopped)
    let second = other.append(Array("e".utf8))
    #expect(second.text == Array("a".utf8) && second.stopped)
    #expect(other.append(Array("more".utf8)).text == [] && other.finish() == [])
  }

  @Test func anEmptyStopStringIsRefused() {
    let error = #expect(throws: TokenizerError.self) { try TextStream(stopStrings: ["a", ""]) }
    #expect(error?.code == .invalidStopString)
  }
}
