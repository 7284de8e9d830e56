import StrictJSON
import TestSupport
import Testing

private let sample = Array(
  #"""
  {"version": "1.0", "n": [0, -1, 2.5e3, 1e-9], "vocab": {"a": 0, "\u0120b": 1, "Ġ": 2, "\ud83d\ude00": 3},
   "nested": {"x": [[], {}, [{"y": null}]], "t": true, "f": false}, "é😀": "\"\\\/\b\f\n\r\t"}
  """#.utf8)

@Suite struct JSONScannerTests {
  @Test func walksWithoutATree() throws {
    var scanner = JSONScanner(sample.span)
    var name: [UInt8] = []
    var vocabulary: [String: Int] = [:]
    var names: [String] = []
    try scanner.beginObject()
    while try scanner.nextName(into: &name) {
      names.append(String(decoding: name, as: UTF8.self))
      guard names.last == "vocab" else {
        try scanner.skipValue()
        continue
      }
      try scanner.beginObject(checksNames: false)
      while let token = try scanner.nextName() { vocabulary[token] = try scanner.naturalNumber() }
    }
    try scanner.finish()
    #expect(names == ["version", "n", "vocab", "nested", "é😀"])
    #expect(vocabulary == ["a": 0, "Ġb": 1, "Ġ": 2, "😀": 3])
  }

  @Test func everyTruncationIsAnError() throws {
    _ = try JSONValue(sample)
    for length in 0..<sample.count {
      let cut = Array(sample[..<length])
      let error = #expect(throws: JSONError.self) { try JSONValue(cut) }
      #expect((0...length).contains(error?.offset ?? -1))
    }
  }

  /// Skipping and reading agree about what is JSON, whatever stands there.
  @Test func mutationsNeverTrap() {
    var generator = SeededGenerator(7)
    let interesting = Array("{}[]\",:\\u0eE-+.123 tfn\u{1}\u{80}é".utf8) + [0xFF, 0xC0]
    var refused = 0
    for round in 0..<20_000 {
      var bytes = sample
      for _ in 0...round % 3 {
        let at = Int.random(in: 0..<bytes.count, using: &generator)
        switch Int.random(in: 0..<3, using: &generator) {
        case 0: bytes[at] = interesting.randomElement(using: &generator) ?? 0
        case 1: bytes.remove(at: at)
        default: bytes.insert(interesting.randomElement(using: &generator) ?? 0, at: at)
        }
      }
      var skips = true
      do throws(JSONError) {
        var scanner = JSONScanner(bytes.span)
        try scanner.skipValue()
        try scanner.finish()
      } catch {
        skips = false
      }
      if skips == ((try? JSONValue(bytes)) == nil) {
        // The tree alone refuses names that are canonically equivalent; this sample cannot become one.
        Issue.record("skipping and reading disagree: \(String(decoding: bytes, as: UTF8.self))")
      }
      if !skips { refused += 1 }
    }
    #expect((5_000..<20_000).contains(refused))
  }

  @Test func naturalNumbersAreDigitsAlone() throws {
    func read(_ text: String) throws(JSONError) -> Int {
      let bytes = Array(text.utf8)
      var scanner = JSONScanner(bytes.span)
      let value = try scanner.naturalNumber()
      try scanner.finish()
      return value
    }
    #expect(try read(" 0 ") == 0)
    #expect(try read("9223372036854775807") == .max)
    for text in ["", "-1", "01", "1.0", "1e0", "9223372036854775808", "a", "\"1\""] {
      #expect(throws: JSONError.self) { try read(text) }
    }
  }
}
