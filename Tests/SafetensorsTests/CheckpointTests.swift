import Foundation
import Safetensors
import Testing

/// Model folders of one file or several shards.
@Suite struct CheckpointTests {
  private func write(_ text: String, _ path: String) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
  }

  /// A folder of two shards with `a`, `b` in the first and `c` in the second, and this index.
  private func withShards<Result>(_ index: String, _ body: (String) throws -> Result) throws -> Result {
    try withTemporaryFolder { folder in
      for (shard, names) in [("1", ["a", "b"]), ("2", ["c"])] {
        var writer = SafetensorsWriter()
        for name in names {
          try writer.add(name, shape: [2], [Float](repeating: Float(name.utf8.first ?? 0), count: 2))
        }
        try writer.write(to: "\(folder)/\(shard).safetensors")
      }
      try write(index, folder + "/" + SafetensorsCheckpoint.indexName)
      return try body(folder)
    }
  }

  private static let good = #"""
    {"metadata": {"total_size": 24, "more": [1, {"x": null}]},
     "weight_map": {"a": "1.safetensors", "b": "1.safetensors", "c": "2.safetensors"}}
    """#

  @Test func shardsAreOneCheckpoint() throws {
    try withShards(Self.good) { folder in
      let checkpoint = try SafetensorsCheckpoint(folder: folder)
      #expect(checkpoint.names == ["a", "b", "c"])
      #expect(checkpoint.byteCount == 24)
      #expect(checkpoint.files.map(\.path) == [folder + "/1.safetensors", folder + "/2.safetensors"])
      #expect(try checkpoint.tensor("c").floats() == [99, 99])
      #expect(checkpoint.path(of: "c").hasSuffix("2.safetensors"))
      let error = #expect(throws: SafetensorsError.self) { try checkpoint.tensor("d") }
      #expect(error?.code == .notFound && error?.path.hasSuffix("index.json") == true)
    }
  }

  @Test func aSingleFileGoesBeforeAnIndex() throws {
    try withShards("not read") { folder in
      try FileManager.default.copyItem(
        atPath: folder + "/2.safetensors", toPath: folder + "/model.safetensors")
      #expect(try SafetensorsCheckpoint(folder: folder).names == ["c"])
    }
  }

  struct HostileIndex: Sendable, CustomTestStringConvertible {
    var json: String
    var says: String
    var tensor: String?
    var file = "index.json"
    var testDescription: String { String(json.prefix(80)) }
  }

  static let hostile: [HostileIndex] = [
    .init(json: "", says: "expected '{'"),
    .init(json: "[]", says: "'{'"),
    .init(json: "{", says: "expected"),
    .init(json: "{}", says: "weight_map"),
    .init(json: #"{"weight_map": {}}"#, says: "0 files"),
    .init(json: #"{"weight_map": []}"#, says: "'{'"),
    .init(json: #"{"weight_map": {"a": 1}}"#, says: "\""),
    .init(json: #"{"weight_map": {"a": "1.safetensors", "a": "2.safetensors"}}"#, says: "twice"),
    .init(json: #"{"weight_map": {"a": "../1.safetensors"}}"#, says: "not the name", tensor: "a"),
    .init(json: #"{"weight_map": {"a": "/etc/x.safetensors"}}"#, says: "not the name", tensor: "a"),
    .init(json: #"{"weight_map": {"a": "1.bin"}}"#, says: "not the name", tensor: "a"),
    .init(
      json: #"{"weight_map": {"a": "1.safetensors\u0000.safetensors"}}"#, says: "not the name", tensor: "a"),
    .init(json: #"{"weight_map": {"a": ""}}"#, says: "not the name", tensor: "a"),
    .init(json: #"{"weight_map": {"a": "3.safetensors"}}"#, says: "No such file", file: "3.safetensors"),
    .init(
      json: #"{"weight_map": {"a": "1.safetensors", "c": "2.safetensors"}}"#, says: "does not name it",
      tensor: "b", file: "1.safetensors"),
    .init(
      json: #"{"weight_map": {"a": "1.safetensors", "b": "2.safetensors", "c": "2.safetensors"}}"#,
      says: "puts it into 2.safetensors", tensor: "b", file: "1.safetensors"),
    .init(
      json: #"{"weight_map": {"a": "1.safetensors", "b": "1.safetensors", "z": "1.safetensors"}}"#,
      says: "not in the shard", tensor: "z", file: "1.safetensors"),
    .init(json: #"{"weight_map": "# + String(repeating: #"{"a":"#, count: 10_000), says: "expected"),
  ]

  @Test(arguments: hostile) func isRefusedByName(_ index: HostileIndex) throws {
    try withShards(index.json) { folder in
      let error = #expect(throws: SafetensorsError.self) { try SafetensorsCheckpoint(folder: folder) }
      #expect(error?.message.contains(index.says) == true, "\(error?.description ?? "")")
      #expect(error?.tensor == index.tensor)
      #expect(error?.path.hasSuffix(index.file) == true)
    }
  }

  @Test func aFolderWithoutWeightsIsRefused() throws {
    try withTemporaryFolder { folder in
      let error = #expect(throws: SafetensorsError.self) { try SafetensorsCheckpoint(folder: folder) }
      #expect(error?.message.contains("no model.safetensors") == true)
    }
  }

  @Test func halvesConvertExactly() throws {
    var bytes: [UInt8] = []
    for bits in 0...UInt16.max { bytes += [UInt8(truncatingIfNeeded: bits), UInt8(bits >> 8)] }
    var writer = SafetensorsWriter()
    try writer.add("all", dtype: .float16, shape: [65_536], bytes: bytes)
    try withTemporaryFolder { folder in
      try writer.write(to: folder + "/model.safetensors")
      let floats = try SafetensorsCheckpoint(folder: folder).tensor("all").floats()
      for bits in 0...UInt16.max {
        let (value, expected) = (floats[Int(bits)], Float(Float16(bitPattern: bits)))
        #expect(value.isNaN ? expected.isNaN : value.bitPattern == expected.bitPattern)
      }
    }
  }
}
