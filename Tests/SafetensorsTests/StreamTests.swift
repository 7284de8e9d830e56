import Foundation
import Safetensors
import Testing

/// The file that is written piece by piece is the one that the collected tensors make.
@Suite struct StreamTests {
  private struct Content {
    var tensors: [TensorDescription] = []
    var bytes: [[UInt8]] = []
    let metadata: [String: String]

    /// Tensors of every type and random small shapes, empty ones and scalars among them.
    init(_ generator: inout some RandomNumberGenerator) {
      metadata = Bool.random(using: &generator) ? [:] : ["format": "pt", "step": "12\n\"é"]
      for index in 0..<Int.random(in: 0...6, using: &generator) {
        let dtype = TensorDtype.allCases.randomElement(using: &generator) ?? .float32
        let shape = (0..<Int.random(in: 0...3, using: &generator)).map { _ in
          Int.random(in: 0...9, using: &generator)
        }
        tensors.append(TensorDescription("tensor \(index)", dtype, shape: shape))
        let count = shape.reduce(dtype.byteCount, *)
        bytes.append((0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) })
      }
    }
  }

  private func contents(_ path: String) throws -> [UInt8] {
    try [UInt8](Data(contentsOf: URL(fileURLWithPath: path)))
  }

  @Test func piecesMakeTheSameFileAsTheWhole() throws {
    var generator = SystemRandomNumberGenerator()
    try withTemporaryFolder { folder in
      for _ in 0..<40 {
        let content = Content(&generator)
        var writer = SafetensorsWriter()
        writer.metadata = content.metadata
        for (tensor, bytes) in zip(content.tensors, content.bytes) {
          try writer.add(tensor.name, dtype: tensor.dtype, shape: tensor.shape, bytes: bytes)
        }
        try writer.write(to: folder + "/collected")

        var stream = try SafetensorsStream(
          path: folder + "/streamed", content.tensors, metadata: content.metadata)
        var left = content.bytes.flatMap { $0 }[...]
        while !left.isEmpty {
          let piece = left.prefix(Int.random(in: 1...200, using: &generator))
          try stream.append(Array(piece))
          left = left.dropFirst(piece.count)
        }
        try stream.commit()
        #expect(try contents(folder + "/streamed") == contents(folder + "/collected"))
        let file = try SafetensorsFile(path: folder + "/streamed")
        for (tensor, bytes) in zip(content.tensors, content.bytes) {
          let slice = try file.tensor(tensor.name)
          #expect(slice.dtype == tensor.dtype && slice.shape == tensor.shape)
          #expect(slice.bytes.elementsEqual(bytes))
        }
      }
    }
  }

  /// The bytes of the format, as its description has them, not as either of the two types here thinks.
  @Test func theBytesAreTheFormats() throws {
    try withTemporaryFolder { folder in
      var stream = try SafetensorsStream(
        path: folder + "/a", [TensorDescription("w", .float32, shape: [1, 2])], metadata: ["format": "pt"])
      let elements: [Float] = [1, -2]
      try elements.withUnsafeBufferPointer { try stream.append($0) }
      try stream.commit()
      let json =
        #"{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}} "#
      #expect(json.utf8.count == 88)
      let expected = [88, 0, 0, 0, 0, 0, 0, 0] + Array(json.utf8) + [0, 0, 0x80, 0x3F, 0, 0, 0, 0xC0]
      #expect(try contents(folder + "/a") == expected)
    }
  }

  /// More elements than are converted together.
  @Test func longTensorsComeBack() throws {
    let elements = (0..<200_001).map { Float($0) * 0.37 }
    try withTemporaryFolder { folder in
      var stream = try SafetensorsStream(
        path: folder + "/a", [TensorDescription("w", .float32, shape: [elements.count])])
      try elements.withUnsafeBufferPointer { try stream.append($0) }
      try stream.commit()
      #expect(try SafetensorsFile(path: folder + "/a").floats("w") == elements)
    }
  }

  @Test func whatIsNotFinishedLeavesTheOldFileAndNothingElse() throws {
    let tensors = [TensorDescription("a", .uint8, shape: [3])]
    try withTemporaryFolder { folder in
      let path = folder + "/a"
      try Data("old".utf8).write(to: URL(fileURLWithPath: path))
      /// Begins the file and writes that much of its three bytes.
      func write(_ bytes: [UInt8], commits: Bool) throws {
        var stream = try SafetensorsStream(path: path, tensors)
        try stream.append(bytes)
        if commits { try stream.commit() }
      }
      try write([1, 2, 3], commits: false)
      #expect(throws: SafetensorsError.self) { try write([1, 2], commits: true) }
      #expect(throws: SafetensorsError.self) { try write([1, 2, 3, 4], commits: false) }

      let twice = #expect(throws: SafetensorsError.self) {
        _ = try SafetensorsStream(path: path, tensors + tensors)
      }
      #expect(twice?.tensor == "a")
      for shape in [[-1], [.max, 8]] {
        #expect(throws: SafetensorsError.self) {
          _ = try SafetensorsStream(path: path, [TensorDescription("b", .float64, shape: shape)])
        }
      }
      #expect(throws: SafetensorsError.self) {
        _ = try SafetensorsStream(path: path, [TensorDescription("__metadata__", .bool, shape: [])])
      }
      #expect(try contents(path) == Array("old".utf8))
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["a"])
    }
  }
}
