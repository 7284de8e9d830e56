import Foundation
import LagKV
import Safetensors
import ToolSupport

/// One golden case: `NAME.json` with its parameters beside `NAME.safetensors` with its tensors, made with the reference
/// implementation in float64.
struct GoldenCase {
  struct Parameters: Decodable {
    let name: String
    let kind: Kind
    let kvHeads: Int
    let queryHeads: Int
    let headDim: Int
    let sinks: Int
    let lag: Int
    let ratio: Double
    let tokens: Int
    let valueWeight: Double
    let inputDtype: String

    enum Kind: String, Decodable {
      case attention
      case lrsa
    }

    private enum CodingKeys: String, CodingKey {
      case name, kind
      case kvHeads = "H"
      case queryHeads = "Hq"
      case headDim = "D"
      case sinks = "S"
      case lag = "L"
      case ratio = "r"
      case tokens = "T"
      case valueWeight = "score_v_ratio"
      case inputDtype = "input_dtype"
    }
  }

  let parameters: Parameters
  let file: SafetensorsFile
  let elementType: ElementType

  /// Every case of a folder, by name.
  static func all(in folder: String) throws -> [GoldenCase] {
    let names = try FileManager.default.contentsOfDirectory(atPath: folder)
      .filter { $0.hasSuffix(".json") && !$0.hasSuffix(".index.json") }
      .sorted()
    guard !names.isEmpty else { throw ToolError("no golden cases (NAME.json) in \(folder)") }
    return try names.map { try GoldenCase(json: folder + "/" + $0) }
  }

  init(json path: String) throws {
    let data = try Data(contentsOf: URL(fileURLWithPath: path))
    do {
      parameters = try JSONDecoder().decode(Parameters.self, from: data)
    } catch {
      throw ToolError("\(path) is not a golden case: \(error)")
    }
    let names: [String: ElementType] = ["float32": .float32, "bfloat16": .bfloat16, "float16": .float16]
    guard let type = names[parameters.inputDtype] else {
      throw ToolError("\(path): input_dtype \(parameters.inputDtype) is not float32, bfloat16 or float16")
    }
    elementType = type
    file = try SafetensorsFile(path: String(path.dropLast(".json".count)) + ".safetensors")
  }

  /// The positions that every head must keep, `[kvHeads][rows]`, ascending.
  func retained() throws -> [[UInt32]] {
    let tensor = try file.tensor("retained")
    let rows = tensor.shape.last ?? 0
    let all = tensor.bytes.withMemoryRebound(to: Int32.self) { $0.map { UInt32($0) } }
    return (0..<parameters.kvHeads).map { Array(all[$0 * rows..<($0 + 1) * rows]) }
  }

  /// Rows `tokens` of a tensor that is stored as `[heads, tokens, headDim]`, in the layout asked for.
  func slice(_ name: String, tokens: Range<Int>, headMajor: Bool) throws -> [UInt8] {
    let tensor = try file.tensor(name)
    let (heads, length) = (tensor.shape[0], tensor.shape[1])
    let rowBytes = tensor.shape[2] * elementType.byteCount
    var bytes: [UInt8] = []
    bytes.reserveCapacity(heads * tokens.count * rowBytes)
    func append(head: Int, rows: Range<Int>) {
      let start = (head * length + rows.lowerBound) * rowBytes
      bytes.append(contentsOf: tensor.bytes[start..<start + rows.count * rowBytes])
    }
    if headMajor {
      for head in 0..<heads { append(head: head, rows: tokens) }
    } else {
      for token in tokens { for head in 0..<heads { append(head: head, rows: token..<token + 1) } }
    }
    return bytes
  }

  /// Tokens of the tensor of queries: all of them in LRSA cases, the ones after the keys in attention cases.
  func queryCount() throws -> Int { try file.tensor("q").shape[1] }
}
