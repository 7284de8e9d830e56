import Foundation
import LagKV
import LanguageModel
import Tokenization
import ToolSupport
import Transformer

/// What `lagoon-lm info` tells.
struct ModelReport: Encodable {
  struct Weights: Encodable {
    var files: Int
    var mappedBytes: Int
    var bytesOfType: [String: Int]

    enum CodingKeys: String, CodingKey {
      case files
      case mappedBytes = "mapped_bytes"
      case bytesOfType = "bytes_of_type"
    }
  }

  /// A document's cache at one ratio.
  struct Cache: Encodable {
    /// nil when everything is kept.
    var ratio: Double?
    var rowsPerHead: Int
    var bf16Bytes: Int
    var f32Bytes: Int
    var bf16BytesPerToken: Double

    enum CodingKeys: String, CodingKey {
      case ratio
      case rowsPerHead = "rows_per_head"
      case bf16Bytes = "bf16_bytes"
      case f32Bytes = "f32_bytes"
      case bf16BytesPerToken = "bf16_bytes_per_token"
    }
  }

  /// Memory of a program that runs the model.
  struct Memory: Encodable {
    var compute: String
    var kernel: String
    /// Weights beside the mapped files.
    var copiedBytes: Int
    /// Activations of a forward pass, logits of one row, and the arena to the daemon.
    var workingBytes: Int

    enum CodingKeys: String, CodingKey {
      case compute, kernel
      case copiedBytes = "copied_bytes"
      case workingBytes = "working_bytes"
    }
  }

  struct Opening: Encodable {
    var seconds: Double
    /// Resident memory that opening added to this process, pages of mapped files included.
    var residentBytes: Int

    enum CodingKeys: String, CodingKey {
      case seconds
      case residentBytes = "resident_bytes"
    }
  }

  var folder: String
  var family: String
  var layers: Int
  var queryHeads: Int
  var kvHeads: Int
  var headDim: Int
  var hiddenSize: Int
  var intermediateSize: Int
  var vocabularySize: Int
  var parameters: Int
  var rope: String
  var maximumPositions: Int?
  var endTokens: [UInt32]
  var tokenizer: String
  var chatTemplate: Bool
  var weights: Weights
  var tokens: Int
  var sinks: Int
  var lag: Int
  var caches: [Cache]
  var memory: [Memory]
  var opening: Opening

  enum CodingKeys: String, CodingKey {
    case folder, family, layers, parameters, rope, tokenizer, weights, tokens, sinks, lag, caches, memory,
      opening
    case queryHeads = "query_heads"
    case kvHeads = "kv_heads"
    case headDim = "head_dim"
    case hiddenSize = "hidden_size"
    case intermediateSize = "intermediate_size"
    case vocabularySize = "vocabulary_size"
    case maximumPositions = "maximum_positions"
    case endTokens = "end_tokens"
    case chatTemplate = "chat_template"
  }

  init(_ info: Info) throws {
    let before = ResidentMemory.bytes
    let clock = ContinuousClock.now
    let model = try DecoderModel(folder: info.folder)
    opening = Opening(
      seconds: (ContinuousClock.now - clock).inSeconds, residentBytes: max(0, ResidentMemory.bytes - before))
    let c = model.configuration
    folder = info.folder
    family = c.family
    layers = c.layers
    queryHeads = c.queryHeads
    kvHeads = c.kvHeads
    headDim = c.headDim
    hiddenSize = c.hiddenSize
    intermediateSize = c.intermediateSize
    vocabularySize = c.vocabularySize
    parameters = c.parameterCount
    rope = c.rope.summary
    maximumPositions = c.maximumPositions
    endTokens = c.endTokens
    do throws(TokenizerError) {
      tokenizer = try ModelTokenizer.load(folder: info.folder, vocabularySize: c.vocabularySize).summary
    } catch {
      // The model runs on token ids all the same.
      tokenizer = "none that can be used: \(error)"
    }
    chatTemplate = ModelTokenizer.hasChatTemplate(folder: info.folder)
    let summary = try model.weightSummary()
    weights = Weights(
      files: summary.files, mappedBytes: summary.mappedBytes, bytesOfType: summary.bytesOfType)
    tokens = info.tokens ?? c.maximumPositions ?? 32_768
    sinks = info.sinks
    lag = info.lag
    let ratios = info.ratio.isEmpty ? [0.5, 0.25, 0.125] : info.ratio
    let length = tokens
    caches = ([nil] + ratios).map { Self.cache(c, info, length, ratio: $0) }
    memory = []
    for compute in Compute.allCases {
      let model = compute == .float32 ? model : try DecoderModel(folder: info.folder, compute: compute)
      memory.append(
        Memory(
          compute: compute.rawValue, kernel: model.computeSummary,
          copiedBytes: try model.weightSummary().copiedBytes,
          workingBytes: c.activationBytes(rows: info.chunk)
            + DaemonAttention.arenaBytes(c, chunk: info.chunk)))
    }
  }

  private static func cache(_ c: ModelConfiguration, _ info: Info, _ tokens: Int, ratio: Double?) -> Cache {
    let kept = ratio.map { Int($0 * Double(info.lag)) } ?? info.lag
    let rows = TokenGeometry(sinks: info.sinks, lag: info.lag, kept: kept).totalRows(tokens)
    func bytes(_ elementBytes: Int) -> Int { rows * c.keyValueBytesPerToken(elementBytes: elementBytes) }
    return Cache(
      ratio: ratio, rowsPerHead: rows, bf16Bytes: bytes(2), f32Bytes: bytes(4),
      bf16BytesPerToken: Double(bytes(2)) / Double(tokens))
  }
}
