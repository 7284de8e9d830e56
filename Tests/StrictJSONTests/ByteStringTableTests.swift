import StrictJSON
import TestSupport
import Testing

@Suite struct ByteStringTableTests {
  @Test func agreesWithADictionary() {
    var generator = SeededGenerator(3)
    var table = ByteStringTable()
    var reference: [[UInt8]: Int] = [:]
    for _ in 0..<20_000 {
      let string = (0..<Int.random(in: 0..<6, using: &generator)).map { _ in
        UInt8.random(in: 0..<6, using: &generator)
      }
      #expect(table.index(of: string.span) == reference[string])
      let (index, isNew) = table.insert(string.span)
      #expect(isNew == (reference[string] == nil))
      #expect(index == reference[string, default: reference.count])
      reference[string] = index
      #expect(Array(table[index]) == string)
    }
    #expect(table.count == reference.count)
  }
}

@Suite struct UTF8ScalarTests {
  /// Against the standard library, which validates UTF-8 on its own.
  @Test func agreesWithTheStandardLibrary() {
    var generator = SeededGenerator(5)
    let leads: [UInt8] = [
      0x41, 0x7F, 0x80, 0xBF, 0xC1, 0xC2, 0xDF, 0xE0, 0xED, 0xEF, 0xF0, 0xF4, 0xF5, 0x9F, 0xA0, 0x8F, 0x90,
    ]
    for _ in 0..<50_000 {
      let bytes = (0..<5).map { _ in leads.randomElement(using: &generator) ?? 0 }
      let end = UTF8Scalar.endOfWellFormed(in: bytes.span, from: 0)
      #expect(String(validating: bytes[..<end], as: UTF8.self) != nil)
      for longer in end..<min(end + 4, bytes.count) {
        #expect(String(validating: bytes[...longer], as: UTF8.self) == nil)
      }
    }
    for value in (0...0x10FFFF as ClosedRange<UInt32>).lazy.compactMap(Unicode.Scalar.init)
    where value.value % 7 == 0 {
      let bytes = Array(String(value).utf8)
      let scalar = UTF8Scalar(in: bytes.span, at: 0)
      if scalar?.value != value.value || scalar?.length != bytes.count { Issue.record("\(value.value)") }
    }
  }
}
