import Foundation
import Safetensors
import Testing

@Suite struct RoundTripTests {
  @Test func everyDtypeComesBack() throws {
    var writer = SafetensorsWriter()
    writer.metadata = ["format": "pt", "quote\"": "line\nbreak \u{1} é"]
    let floats: [Float] = [0, -0.0, 1.5, -.infinity, .greatestFiniteMagnitude, .leastNonzeroMagnitude]
    try writer.add("floats", shape: [2, 3], floats)
    try writer.add("integers", shape: [3], [Int32.min, 0, Int32.max])
    try writer.add("bfloat16", dtype: .bfloat16, shape: [2], bytes: [0xC0, 0x3F, 0x80, 0xFF])
    try writer.add("float16", dtype: .float16, shape: [2], bytes: [0x00, 0x3E, 0x01, 0x00])
    try writer.add("float64", dtype: .float64, shape: [], bytes: [0, 0, 0, 0, 0, 0, 0xF8, 0x3F])
    try writer.add("int64", dtype: .int64, shape: [1], bytes: [0xFE] + [UInt8](repeating: 0xFF, count: 7))
    try writer.add("bytes \"odd\\ name\"", dtype: .uint8, shape: [3], bytes: [0, 128, 255])
    try writer.add("flags", dtype: .bool, shape: [2], bytes: [0, 1])
    try writer.add("empty", shape: [0, 4], [Float]())

    try withTemporaryFolder { folder in
      let path = folder + "/file.safetensors"
      try writer.write(to: path)
      let file = try SafetensorsFile(path: path)
      #expect(file.metadata == writer.metadata)
      #expect(file.names.count == 9)
      #expect(try file.floats("floats").map(\.bitPattern) == floats.map(\.bitPattern))
      #expect(try file.tensor("floats").shape == [2, 3])
      #expect(try file.integers("integers") == [Int(Int32.min), 0, Int(Int32.max)])
      #expect(try file.floats("bfloat16") == [1.5, -.infinity])
      #expect(try file.floats("float16") == [1.5, 0x1p-24])
      #expect(try file.floats("float64") == [1.5])
      #expect(try file.tensor("float64").shape == [])
      #expect(try file.integers("int64") == [-2])
      #expect(try file.integers("bytes \"odd\\ name\"") == [0, 128, 255])
      #expect(try file.integers("flags") == [0, 1])
      #expect(try file.floats("empty") == [])
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["file.safetensors"])
    }
  }

  @Test func escapesAreReadAsJSONHasThem() throws {
    let header = "{\"\\u00e9\\ud83d\\ude00\\t\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}   "
    let file = try open(safetensors(header, data: [9]))
    #expect(file.names == ["é😀\t"])
  }

  @Test func aSliceOutlivesItsFile() throws {
    var writer = SafetensorsWriter()
    try writer.add("a", shape: [3], [1, 2, 3] as [Float])
    try withTemporaryFolder { folder in
      try writer.write(to: folder + "/a")
      let slice = try SafetensorsFile(path: folder + "/a").tensor("a")
      #expect(slice.bytes.count == 12)
      #expect(slice.bytes.loadUnaligned(fromByteOffset: 8, as: Float.self) == 3)
    }
  }

  @Test func wrongUseIsATypedError() throws {
    var writer = SafetensorsWriter()
    try writer.add("a", shape: [2], [1, 2] as [Float])
    #expect(throws: SafetensorsError.self) { try writer.add("a", shape: [1], [1] as [Float]) }
    #expect(throws: SafetensorsError.self) { try writer.add("b", shape: [3], [1] as [Float]) }
    #expect(throws: SafetensorsError.self) { try writer.add("b", shape: [-1], [1] as [Float]) }
    #expect(throws: SafetensorsError.self) { try writer.add("__metadata__", shape: [1], [1] as [Float]) }
    #expect(throws: SafetensorsError.self) {
      try writer.add("b", dtype: .float64, shape: [.max, .max], bytes: [])
    }
    try withTemporaryFolder { folder in
      try writer.write(to: folder + "/a")
      let file = try SafetensorsFile(path: folder + "/a")
      #expect(throws: SafetensorsError.self) { try file.integers("a") }
      #expect(throws: SafetensorsError.self) { try file.tensor("b") }
    }
  }

  @Test func aFailedWriteLeavesTheOldFileAndNothingElse() throws {
    var writer = SafetensorsWriter()
    try writer.add("a", shape: [1], [1] as [Float])
    try withTemporaryFolder { folder in
      // A folder stands where the file should go, so the last step, the rename, fails.
      try FileManager.default.createDirectory(atPath: folder + "/a/b", withIntermediateDirectories: true)
      #expect(throws: SafetensorsError.self) { try writer.write(to: folder + "/a") }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["a"])
      #expect(throws: SafetensorsError.self) { try writer.write(to: folder + "/none/a") }
    }
  }
}
