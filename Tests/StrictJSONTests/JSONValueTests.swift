import StrictJSON
import Testing

private let valid: [(String, JSONValue)] = [
  ("null", .null), (" true\t", .boolean(true)), ("false", .boolean(false)), ("0", .integer(0)),
  ("-7", .integer(-7)), ("9223372036854775807", .integer(.max)), ("-9223372036854775808", .integer(.min)),
  ("9223372036854775808", .number(9_223_372_036_854_775_808)), ("1.5", .number(1.5)), ("1e3", .number(1000)),
  ("-2.5E-1", .number(-0.25)), ("1E+2", .number(100)), ("1e308", .number(1e308)), ("1e-999", .number(0)),
  ("\"\"", .string("")), ("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\"", .string("a\"\\/\u{8}\u{C}\n\r\t")),
  ("\"\\u00e9\\u4e2D\"", .string("é中")), ("\"\\ud83d\\uDE00\"", .string("😀")),
  ("\"é\u{10FFFF}\"", .string("é\u{10FFFF}")),
  ("\"\\u0000\"", .string("\0")), ("\"\u{7F}\"", .string("\u{7F}")),
  ("[]", .array([])), ("[1 , [2]]", .array([.integer(1), .array([.integer(2)])])),
  ("{}", .object([:])), ("\r\n{ \"a\" : { \"a\" : [ ] } }", .object(["a": .object(["a": .array([])])])),
  ("{\"a\":1,\"b\":2}", .object(["a": .integer(1), "b": .integer(2)])),
]

private let invalid: [(String, String)] = [
  ("", "missing"), ("  ", "missing"), ("nul", "null"), ("nulL", "null"), ("True", "value"), ("tru", "true"),
  ("falze", "false"), ("nullx", "after"), ("1 2", "after"), ("[]]", "after"), ("{}{}", "after"),
  ("\u{FEFF}1", "value"),
  ("-", "digit"), ("+1", "value"), (".5", "value"), ("1.", "digit"), ("1.e1", "digit"), ("1e", "digit"),
  ("1e+", "digit"),
  ("01", "zeros"), ("-00", "zeros"), ("0x1", "after"), ("1e999", "range"), ("NaN", "value"),
  ("Infinity", "value"),
  ("\"", "does not end"), ("\"a", "does not end"), ("\"\\", "does not end"), ("\"\\u12", "does not end"),
  ("\"\\x\"", "escape"), ("\"\\u12G4\"", "hexadecimal"), ("\"\\u+123\"", "hexadecimal"),
  ("\"\\ud800\"", "surrogate"),
  ("\"\\udc00\"", "surrogate"), ("\"\\ud800\\n\"", "surrogate"), ("\"\\ud800\\ud800\"", "surrogate"),
  ("\"\n\"", "control"), ("\"\0\"", "control"), ("'a'", "value"),
  ("[", "missing"), ("[1", "']'"), ("[1,]", "value"), ("[,1]", "value"), ("[1 2]", "']'"), ("[1}", "']'"),
  ("{", "'\"'"), ("{\"a\"", "':'"), ("{\"a\":", "missing"), ("{\"a\":1", "'}'"), ("{\"a\":1,}", "'\"'"),
  ("{a:1}", "'\"'"),
  ("{1:1}", "'\"'"), ("{\"a\" 1}", "':'"), ("{\"a\":1]", "'}'"), ("{\"a\":1 \"b\":2}", "'}'"),
  ("{,}", "'\"'"),
  ("{\"a\":1,\"a\":2}", "twice"), ("{\"a\":1,\"\\u0061\":2}", "twice"),
  ("[{\"x\":{}, \"y\":1, \"x\":{}}]", "twice"),
  ("{\"\u{E9}\":1,\"e\u{301}\":2}", "twice"), ("/**/1", "value"), ("1//", "after"),
]

@Suite struct JSONValueTests {
  @Test(arguments: valid) func reads(_ text: String, _ value: JSONValue) throws {
    #expect(try JSONValue(Array(text.utf8)) == value)
  }

  @Test(arguments: invalid) func refuses(_ text: String, _ says: String) {
    let error = #expect(throws: JSONError.self) { try JSONValue(Array(text.utf8)) }
    #expect(error?.message.contains(says) == true, "\(String(describing: error))")
    #expect((0...text.utf8.count).contains(error?.offset ?? -1))
  }

  @Test(
    arguments: [
      [0xFF], [0xC3], [0xC0, 0xAF], [0xE0, 0x80, 0x80], [0xED, 0xA0, 0x80], [0xF5, 0x80, 0x80, 0x80], [0x80],
      [0xF4, 0x90, 0x80, 0x80],
    ] as [[UInt8]])
  func refusesWhatIsNoUTF8(_ bytes: [UInt8]) {
    let error = #expect(throws: JSONError.self) { try JSONValue([0x22] + bytes + [0x22]) }
    #expect(error?.message.contains("UTF-8") == true)
  }

  /// To the scanner, names that are canonically equivalent are two names; only a tree's keys cannot hold both.
  @Test func namesAreComparedAsBytes() throws {
    var scanner = JSONScanner(Array("{\"\u{E9}\":1,\"e\u{301}\":2}".utf8).span)
    try scanner.skipValue()
    try scanner.finish()
  }

  @Test func depthIsBounded() throws {
    for open in ["[", "{\"a\":"] {
      let close = open == "[" ? "]" : "}"
      func nested(_ depth: Int) -> [UInt8] {
        Array((String(repeating: open, count: depth) + "1" + String(repeating: close, count: depth)).utf8)
      }
      _ = try JSONValue(nested(JSONScanner.maximumDepth))
      for depth in [JSONScanner.maximumDepth + 1, 100_000] {
        let error = #expect(throws: JSONError.self) { try JSONValue(nested(depth)) }
        #expect(error?.message.contains("deeper") == true)
      }
    }
  }

  @Test func numbersOfAnyLengthAreReadOrRefused() throws {
    let digits = String(repeating: "7", count: 300)
    #expect(try JSONValue(Array(digits.utf8)) == .number(#require(Double(digits))))
    for text in [String(repeating: "7", count: 1000), String(repeating: "7", count: 100_000), "1e" + digits] {
      #expect(throws: JSONError.self) { try JSONValue(Array(text.utf8)) }
    }
    #expect(try JSONValue(Array("0.\(digits)".utf8)).double?.rounded() == 1)
  }

  @Test func treesAreBounded() throws {
    let text = Array(("[" + Array(repeating: "[]", count: 99).joined(separator: ",") + "]").utf8)
    _ = try JSONValue(text, maximumValues: 100)
    #expect(throws: JSONError.self) { try JSONValue(text, maximumValues: 99) }
  }

  @Test func manyNamesAreToldApart() throws {
    let members = (0..<50_000).map { "\"name \($0)\":\($0)" }
    let tree = try JSONValue(Array("{\(members.joined(separator: ","))}".utf8))
    guard case .object(let object) = tree else { throw JSONError("no object", offset: 0) }
    #expect(object.count == 50_000)
    #expect(object["name 49999"] == .integer(49_999))
    for twice in [0, 7, 8, 31_000] {
      #expect(throws: JSONError.self) {
        try JSONValue(Array("{\(members.joined(separator: ",")),\"name \(twice)\":0}".utf8))
      }
    }
  }

  @Test func descriptionsAreShort() throws {
    let text = "[1, 2.5, null, \"\(String(repeating: "x", count: 100))\", 5, 6]"
    let value = try JSONValue(Array(text.utf8))
    #expect(value.description == "[1, 2.5, null, \"\(String(repeating: "x", count: 60))\", …]")
    #expect(try JSONValue(Array("{\"b\":1,\"a\":2}".utf8)).description == "{a, b}")
  }
}
