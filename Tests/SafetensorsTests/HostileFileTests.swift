import Foundation
import Safetensors
import Testing

/// A header that must be refused, with words that the message must contain.
struct HostileCase: Sendable, CustomTestStringConvertible {
  var what: String
  var bytes: [UInt8]
  var says: String
  var tensor: String?
  var testDescription: String { what }
}

private func tensor(_ shape: String, _ offsets: String, dtype: String = "F32") -> String {
  "{\"dtype\":\"\(dtype)\",\"shape\":\(shape),\"data_offsets\":\(offsets)}"
}

private let eight = [UInt8](repeating: 0, count: 8)

let hostileCases: [HostileCase] = [
  .init(what: "an empty file", bytes: [], says: "too few"),
  .init(what: "half a length", bytes: [2, 0, 0], says: "too few"),
  .init(what: "a header longer than the file", bytes: safetensors("{}", length: 3), says: "in a file of"),
  .init(what: "a header of 2^64-1 bytes", bytes: safetensors("{}", length: .max), says: "at most"),
  .init(what: "a header above the cap", bytes: safetensors("{}", length: 100_000_001), says: "at most"),
  .init(what: "no object", bytes: safetensors("[]"), says: "begin with '{'"),
  .init(what: "an empty header", bytes: safetensors(""), says: "begin with '{'"),
  .init(what: "a header that breaks off", bytes: safetensors("{\"a\":"), says: "expected '{'", tensor: "a"),
  .init(what: "text after the object", bytes: safetensors("{} x"), says: "text after"),
  .init(
    what: "deep nesting", bytes: safetensors(String(repeating: "{\"a\":", count: 100_000)),
    says: "unknown field", tensor: "a"),
  .init(
    what: "deep arrays", bytes: safetensors("{\"a\":" + String(repeating: "[", count: 100_000)), says: "'{'",
    tensor: "a"),
  .init(
    what: "a deep shape", bytes: safetensors("{\"a\":{\"shape\":" + String(repeating: "[", count: 100_000)),
    says: "integer", tensor: "a"),
  .init(
    what: "a tensor named twice",
    bytes: safetensors("{\"a\":\(tensor("[2]", "[0,8]")),\"a\":\(tensor("[2]", "[0,8]"))}", data: eight),
    says: "twice"),
  .init(
    what: "a tensor named twice, composed and decomposed",
    bytes: safetensors("{\"\u{E9}\":\(tensor("[0]", "[0,0]")),\"e\u{301}\":\(tensor("[0]", "[0,0]"))}"),
    says: "twice", tensor: "\u{E9}"),
  .init(
    what: "dtype twice", bytes: safetensors("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}"), says: "twice",
    tensor: "a"),
  .init(
    what: "an unknown field", bytes: safetensors("{\"a\":{\"type\":\"F32\"}}"), says: "unknown field",
    tensor: "a"),
  .init(
    what: "an unknown dtype",
    bytes: safetensors("{\"a\":\(tensor("[8]", "[0,8]", dtype: "F9"))}", data: eight),
    says: "\"F9\"", tensor: "a"),
  .init(
    what: "no dtype", bytes: safetensors("{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", data: eight),
    says: "no \"dtype\"", tensor: "a"),
  .init(
    what: "no shape", bytes: safetensors("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", data: eight),
    says: "no \"shape\"", tensor: "a"),
  .init(
    what: "one offset", bytes: safetensors("{\"a\":\(tensor("[2]", "[8]"))}", data: eight),
    says: "two integers", tensor: "a"),
  .init(
    what: "three offsets", bytes: safetensors("{\"a\":\(tensor("[2]", "[0,8,8]"))}", data: eight),
    says: "more than 2", tensor: "a"),
  .init(
    what: "too many dimensions",
    bytes: safetensors(
      "{\"a\":\(tensor("[" + Array(repeating: "1", count: 17).joined(separator: ",") + "]", "[0,4]"))}"),
    says: "more than 16", tensor: "a"),
  .init(
    what: "a negative extent", bytes: safetensors("{\"a\":\(tensor("[-2]", "[0,8]"))}", data: eight),
    says: "non-negative", tensor: "a"),
  .init(
    what: "a fraction", bytes: safetensors("{\"a\":\(tensor("[2.0]", "[0,8]"))}", data: eight),
    says: "expected ']'",
    tensor: "a"),
  .init(
    what: "an exponent", bytes: safetensors("{\"a\":\(tensor("[2e0]", "[0,8]"))}", data: eight),
    says: "expected ']'",
    tensor: "a"),
  .init(
    what: "an extent of 2^63",
    bytes: safetensors("{\"a\":\(tensor("[9223372036854775808]", "[0,8]"))}", data: eight),
    says: "63 bits", tensor: "a"),
  .init(
    what: "a shape whose product overflows",
    bytes: safetensors("{\"a\":\(tensor("[4294967296,4294967296]", "[0,8]"))}", data: eight),
    says: "overflows",
    tensor: "a"),
  .init(
    what: "a shape whose byte count overflows",
    bytes: safetensors("{\"a\":\(tensor("[4611686018427387904]", "[0,8]"))}", data: eight), says: "overflows",
    tensor: "a"),
  .init(
    what: "a shape that wraps to the right size",
    bytes: safetensors("{\"a\":\(tensor("[4611686018427387906]", "[0,8]"))}", data: eight), says: "overflows",
    tensor: "a"),
  .init(
    what: "offsets that run backwards", bytes: safetensors("{\"a\":\(tensor("[2]", "[8,0]"))}", data: eight),
    says: "backwards", tensor: "a"),
  .init(
    what: "data past the file's end", bytes: safetensors("{\"a\":\(tensor("[4]", "[0,16]"))}", data: eight),
    says: "the data at 8", tensor: "a"),
  .init(
    what: "a shape that needs more than the offsets give",
    bytes: safetensors("{\"a\":\(tensor("[3]", "[0,8]"))}", data: eight), says: "takes 12 bytes", tensor: "a"),
  .init(
    what: "overlapping tensors",
    bytes: safetensors("{\"a\":\(tensor("[2]", "[0,8]")),\"b\":\(tensor("[1]", "[4,8]"))}", data: eight),
    says: "overlap", tensor: "b"),
  .init(
    what: "the same bytes twice",
    bytes: safetensors("{\"a\":\(tensor("[2]", "[0,8]")),\"b\":\(tensor("[2]", "[0,8]"))}", data: eight),
    says: "overlap", tensor: "b"),
  .init(
    what: "a hole", bytes: safetensors("{\"a\":\(tensor("[1]", "[4,8]"))}", data: eight),
    says: "4 bytes before",
    tensor: "a"),
  .init(
    what: "bytes after the last tensor", bytes: safetensors("{\"a\":\(tensor("[1]", "[0,4]"))}", data: eight),
    says: "4 bytes at the end"),
  .init(
    what: "a lone surrogate", bytes: safetensors("{\"\\ud800\":\(tensor("[0]", "[0,0]"))}"), says: "surrogate"
  ),
  .init(what: "a control character", bytes: safetensors("{\"a\u{1}\":1}"), says: "control character"),
  .init(what: "an unknown escape", bytes: safetensors("{\"\\x\":1}"), says: "escape"),
  .init(what: "a string without end", bytes: safetensors("{\"abc"), says: "does not end"),
  .init(
    what: "a name that is not UTF-8",
    bytes: [7, 0, 0, 0, 0, 0, 0, 0] + Array("{\"".utf8) + [0xFF] + Array("\":1}".utf8),
    says: "UTF-8"),
  .init(
    what: "metadata that is no string", bytes: safetensors("{\"__metadata__\":{\"a\":1}}"),
    says: "expected '\"'"),
]

@Suite struct HostileFileTests {
  @Test(arguments: hostileCases)
  func isRefusedByName(_ hostile: HostileCase) throws {
    let error = try #require(try refusal(hostile.bytes), "it opened")
    #expect(error.message.contains(hostile.says), "\(error)")
    #expect(error.tensor == hostile.tensor)
    #expect(error.path.hasSuffix("file.safetensors"))
  }

  /// Whatever a flipped bit or a cut does, opening either throws a typed error or gives views inside the file.
  @Test func mutatedFilesNeverTrap() throws {
    var writer = SafetensorsWriter()
    writer.metadata = ["format": "pt"]
    try writer.add("weight", shape: [2, 3], [1, 2, 3, 4, 5, 6] as [Float])
    try writer.add("ids", shape: [2], [7, 8] as [Int32])
    try withTemporaryFolder { folder in
      let path = folder + "/file.safetensors"
      try writer.write(to: path)
      let whole = try [UInt8](Data(contentsOf: URL(fileURLWithPath: path)))
      var generator = SystemRandomNumberGenerator()
      var refused = 0
      for round in 0..<600 {
        var bytes = whole
        if round % 3 == 0 {
          bytes.removeLast(Int.random(in: 1...whole.count, using: &generator))
        } else {
          for _ in 0..<(1 + round % 4) {
            let at = Int.random(in: 0..<whole.count - 32, using: &generator)
            bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
          }
        }
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        do {
          let file = try SafetensorsFile(path: path)
          for name in file.names { #expect(try file.tensor(name).bytes.count <= bytes.count) }
        } catch is SafetensorsError {
          refused += 1
        }
      }
      #expect(refused > 200)
    }
  }

  @Test func missingFilesAndFoldersAreRefused() throws {
    try withTemporaryFolder { folder in
      #expect(throws: SafetensorsError.self) { try SafetensorsFile(path: folder + "/none") }
      #expect(throws: SafetensorsError.self) { try SafetensorsFile(path: folder) }
    }
  }
}
