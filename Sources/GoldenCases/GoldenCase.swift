import Foundation
import LagKV
import Safetensors

/// One golden case: `NAME.json` with its parameters beside `NAME.safetensors` with its tensors, made with the reference
/// implementation in float64 and stored as f32, or rounded to the type of the case's inputs.
public struct GoldenCase: Sendable {
  public enum Kind: String, Decodable, Sendable {
    /// Queries after all keys.
    case attention
    /// A query at every token, each seeing what LRSA lets it see.
    case lrsa
  }

  public let name: String
  public let kind: Kind
  public let queryHeads: Int
  public let kvHeads: Int
  public let headDim: Int
  public let sinks: Int
  public let lag: Int
  public let ratio: Double
  /// Weight of the value score.
  public let valueWeight: Double
  /// Rows kept of a partition.
  public let keep: Int
  public let tokens: Int
  /// Partitions that are scored.
  public let partitions: Int
  /// Rows kept of each head, sinks and window included.
  public let keptTokens: Int
  /// Of `q`, `k`, `v` and `w`.
  public let elementType: ElementType
  /// To which a session rounds keys and values before anything else; in most cases ``elementType``.
  public let sessionType: ElementType
  public let tensors: SafetensorsFile

  /// Every case of a folder, by name.
  ///
  /// - Throws: ``GoldenCaseError`` when there is none, or one cannot be read.
  public static func all(in folder: String) throws -> [GoldenCase] {
    let names = try FileManager.default.contentsOfDirectory(atPath: folder)
      .filter { $0.hasSuffix(".json") }.sorted()
    guard !names.isEmpty else {
      throw GoldenCaseError(message: "no golden cases (NAME.json) in \(folder)")
    }
    return try names.map { try GoldenCase(json: folder + "/" + $0) }
  }

  public init(json path: String) throws {
    let fields: Fields
    do {
      fields = try JSONDecoder().decode(Fields.self, from: try Data(contentsOf: URL(filePath: path)))
    } catch {
      throw GoldenCaseError(message: "\(path) is not a golden case: \(error)")
    }
    let types: [String: ElementType] = ["float32": .float32, "bfloat16": .bfloat16, "float16": .float16]
    func type(_ name: String, _ field: String) throws -> ElementType {
      guard let type = types[name] else {
        throw GoldenCaseError(message: "\(path): \(field) \(name) is not float32, bfloat16 or float16")
      }
      return type
    }
    name = fields.name
    kind = fields.kind
    queryHeads = fields.queryHeads
    kvHeads = fields.kvHeads
    headDim = fields.headDim
    sinks = fields.sinks
    lag = fields.lag
    ratio = fields.ratio
    valueWeight = fields.valueWeight
    keep = fields.keep
    tokens = fields.tokens
    partitions = fields.partitions
    keptTokens = fields.keptTokens
    elementType = try type(fields.inputType, "input_dtype")
    sessionType = try type(fields.sessionType ?? fields.inputType, "session_dtype")
    tensors = try SafetensorsFile(path: String(path.dropLast(".json".count)) + ".safetensors")
  }

  private struct Fields: Decodable {
    let name: String
    let kind: Kind
    let kvHeads, queryHeads, headDim, sinks, lag, tokens, partitions, keptTokens, keep: Int
    let ratio, valueWeight: Double
    let inputType: String
    let sessionType: String?

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
      case sessionType = "session_dtype"
    }
  }

  public var retention: RetentionParameters {
    get throws {
      try RetentionParameters(
        policy: .lagkv, sinks: sinks, lag: lag, ratio: ratio, valueWeight: valueWeight)
    }
  }

  /// The query tokens: all tokens in LRSA cases, some after the keys in attention cases.
  public var queries: Int {
    get throws { try tensors.tensor("q").shape[1] }
  }

  /// A tensor's floats; empty for the zero-size tensors that the files leave out.
  public func floats(_ name: String) throws -> [Float] {
    tensors.contains(name) ? try tensors.floats(name) : []
  }

  /// A tensor's integers; empty for the zero-size tensors that the files leave out.
  public func integers(_ name: String) throws -> [Int] {
    tensors.contains(name) ? try tensors.integers(name) : []
  }

  /// The chunks that an LRSA case was cut into when it was made; empty for other cases.
  public func chunks() throws -> [Range<Int>] {
    let bounds = try integers("chunks")
    return stride(from: 0, to: bounds.count, by: 2).map { bounds[$0]..<bounds[$0 + 1] }
  }

  /// The positions that each head must keep, ascending, `[kvHeads][rows]`.
  public func retained() throws -> [[UInt32]] {
    let all = try integers("retained").map(UInt32.init)
    return (0..<kvHeads).map { Array(all[$0 * keptTokens..<($0 + 1) * keptTokens]) }
  }

  /// Rows `tokens` of `q`, `k` or `v`, stored as `[heads, tokens, headDim]` in ``elementType``, in the layout asked for.
  public func rows(_ name: String, _ tokens: Range<Int>, headMajor: Bool) throws -> [UInt8] {
    let tensor = try tensors.tensor(name)
    let (heads, length) = (tensor.shape[0], tensor.shape[1])
    let rowBytes = tensor.shape[2] * elementType.byteCount
    var bytes: [UInt8] = []
    bytes.reserveCapacity(heads * tokens.count * rowBytes)
    func append(head: Int, _ rows: Range<Int>) {
      let start = (head * length + rows.lowerBound) * rowBytes
      bytes.append(contentsOf: tensor.bytes[start..<start + rows.count * rowBytes])
    }
    if headMajor {
      for head in 0..<heads { append(head: head, tokens) }
    } else {
      for token in tokens { for head in 0..<heads { append(head: head, token..<token + 1) } }
    }
    return bytes
  }
}

/// A folder or file that holds no golden case.
public struct GoldenCaseError: Error, Sendable, CustomStringConvertible {
  public let message: String
  public var description: String { message }
}
