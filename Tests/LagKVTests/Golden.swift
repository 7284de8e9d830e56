import Foundation
import LagKV
import Testing

/// A case of `Tests/Fixtures/golden`; the folder these come from describes the fields.
struct Golden: Decodable, Sendable, CustomTestStringConvertible {
  let name, kind: String
  let kvHeads, headDim, sinks, lag, keep, tokens, partitions, keptTokens, queryHeads: Int
  let ratio, valueWeight: Double
  let inputType: String

  enum CodingKeys: String, CodingKey {
    case name, kind, keep
    case kvHeads = "H"
    case queryHeads = "Hq"
    case headDim = "D"
    case sinks = "S"
    case lag = "L"
    case ratio = "r"
    case tokens = "T"
    case partitions = "P"
    case keptTokens = "R"
    case valueWeight = "score_v_ratio"
    case inputType = "input_dtype"
  }

  var testDescription: String { name }

  static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Fixtures/golden")

  static let all: [Golden] = {
    let files =
      (try? FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)) ?? []
    return files.filter { $0.pathExtension == "json" }.sorted { $0.path < $1.path }.compactMap { file in
      (try? Data(contentsOf: file)).flatMap { try? JSONDecoder().decode(Golden.self, from: $0) }
    }
  }()

  var elementType: ElementType {
    switch inputType {
    case "bfloat16": .bfloat16
    case "float16": .float16
    default: .float32
    }
  }

  var parameters: RetentionParameters {
    get throws {
      try RetentionParameters(
        policy: .lagkv, sinks: sinks, lag: lag, ratio: ratio, valueWeight: valueWeight)
    }
  }

  /// The tensors of a case: a safetensors file, trusted because it is ours.
  func load() throws -> GoldenTensors {
    GoldenTensors(try Data(contentsOf: Self.folder.appending(path: name + ".safetensors")))
  }
}

/// Names to bytes. Zero-size tensors are left out of the files and read as empty.
struct GoldenTensors {
  private let data: Data
  private let entries: [String: [String: Any]]

  init(_ data: Data) {
    self.data = data
    let headerBytes = data.withUnsafeBytes { Int($0.loadUnaligned(as: UInt64.self)) }
    let header = try? JSONSerialization.jsonObject(with: data.subdata(in: 8..<8 + headerBytes))
    entries = ((header as? [String: Any]) ?? [:]).compactMapValues { $0 as? [String: Any] }
  }

  func bytes(_ name: String) -> [UInt8] {
    guard let offsets = entries[name]?["data_offsets"] as? [Int], offsets.count == 2 else { return [] }
    let start = 8 + data.withUnsafeBytes { Int($0.loadUnaligned(as: UInt64.self)) }
    return [UInt8](data[start + offsets[0]..<start + offsets[1]])
  }

  func values<T>(_ name: String, as type: T.Type) -> [T] {
    let bytes = bytes(name)
    return bytes.withUnsafeBytes { raw in
      stride(from: 0, to: raw.count, by: MemoryLayout<T>.size).map {
        raw.loadUnaligned(fromByteOffset: $0, as: T.self)
      }
    }
  }

  func floats(_ name: String) -> [Float] { values(name, as: Float.self) }
  func ints(_ name: String) -> [Int] { values(name, as: Int32.self).map(Int.init) }
}
