/// A session as people and programs read it; its JSON form is what `lagoon list --json` prints.
public struct SessionView: Sendable, Equatable, Codable {
  public var name: String
  public var layers: Int
  public var kvHeads: Int
  public var headDim: Int
  /// `f32`, `bf16` or `f16`.
  public var elementType: String
  /// Bytes of one element.
  public var elementBytes: Int
  public var policy: String
  public var sinks: Int
  public var lag: Int
  public var ratio: Double
  public var valueWeight: Double
  public var seed: UInt64
  public var exemptLayers: [Int]
  public var archive: Bool
  /// `raw` or `zstd`.
  public var codec: String
  /// Gone with the client that made it.
  public var ephemeral: Bool
  /// 64 hexadecimal digits; empty when the session was made without one.
  public var modelFingerprint: String
  /// The rolling hash of the token ids, 16 hexadecimal digits.
  public var tokenHash: String
  public var tokens: Int
  /// Commits so far.
  public var generation: Int
  public var storedBytes: Int
  public var hasWriter: Bool
  public var createdUnixSeconds: Int
  /// Of the last commit; before the first, of the creation.
  public var committedUnixSeconds: Int

  enum CodingKeys: String, CodingKey {
    case name, layers, policy, sinks, lag, ratio, seed, archive, codec, ephemeral, tokens, generation
    case kvHeads = "kv_heads"
    case headDim = "head_dim"
    case elementType = "element_type"
    case elementBytes = "element_bytes"
    case valueWeight = "value_weight"
    case exemptLayers = "exempt_layers"
    case modelFingerprint = "model_fingerprint"
    case tokenHash = "token_hash"
    case storedBytes = "stored_bytes"
    case hasWriter = "has_writer"
    case createdUnixSeconds = "created_unix_seconds"
    case committedUnixSeconds = "committed_unix_seconds"
  }

  public init(
    name: String, layers: Int, kvHeads: Int, headDim: Int, elementType: String, elementBytes: Int,
    policy: String, sinks: Int, lag: Int, ratio: Double, valueWeight: Double, seed: UInt64,
    exemptLayers: [Int], archive: Bool, codec: String, ephemeral: Bool, modelFingerprint: [UInt8],
    tokenHash: UInt64,
    tokens: Int, generation: Int, storedBytes: Int, hasWriter: Bool, createdUnixSeconds: Int,
    committedUnixSeconds: Int
  ) {
    self.name = name
    self.layers = layers
    self.kvHeads = kvHeads
    self.headDim = headDim
    self.elementType = elementType
    self.elementBytes = elementBytes
    self.policy = policy
    self.sinks = sinks
    self.lag = lag
    self.ratio = ratio
    self.valueWeight = valueWeight
    self.seed = seed
    self.exemptLayers = exemptLayers
    self.archive = archive
    self.codec = codec
    self.ephemeral = ephemeral
    let isNone = modelFingerprint.allSatisfy { $0 == 0 }
    self.modelFingerprint = isNone ? "" : modelFingerprint.map { hex(UInt64($0), digits: 2) }.joined()
    self.tokenHash = hex(tokenHash, digits: 16)
    self.tokens = tokens
    self.generation = generation
    self.storedBytes = storedBytes
    self.hasWriter = hasWriter
    self.createdUnixSeconds = createdUnixSeconds
    self.committedUnixSeconds = committedUnixSeconds
  }

  /// Bytes of K and V of every token of one layer, uncompressed.
  public var wholeLayerBytes: Int { 2 * tokens * kvHeads * headDim * elementBytes }

  /// What decided over the rows, in one line.
  public var policyLine: String {
    var parts = [policy]
    if policy != "full" {
      parts += ["sinks \(sinks)", "lag \(lag)"]
      if policy != "streaming" { parts.append("ratio \(ratio)") }
      if policy == "lagkv", valueWeight != 1 { parts.append("value weight \(valueWeight)") }
      if policy == "random" { parts.append("seed \(seed)") }
      if !exemptLayers.isEmpty {
        parts.append("layers kept whole: " + exemptLayers.map(String.init).joined(separator: " "))
      }
    }
    return parts.joined(separator: ", ")
  }
}

/// A layer of a session.
public struct LayerView: Sendable, Equatable, Codable {
  public var layer: Int
  public var tokens: Int
  /// Rows that each KV head keeps of the tokens before the window, sinks included.
  public var keptRows: Int
  /// Rows of each KV head that are kept because they are the newest.
  public var windowRows: Int
  /// Bytes of the layer's records, archive included.
  public var storedBytes: Int
  public var archiveBytes: Int
  public var codec: String
  /// Tokens for every row kept; `nil` without rows.
  public var rowRatio: Double?
  /// Bytes of all K and V, uncompressed, for every byte stored; `nil` when nothing is stored.
  public var byteRatio: Double?

  enum CodingKeys: String, CodingKey {
    case layer, tokens, codec
    case keptRows = "kept_rows"
    case windowRows = "window_rows"
    case storedBytes = "stored_bytes"
    case archiveBytes = "archive_bytes"
    case rowRatio = "row_ratio"
    case byteRatio = "byte_ratio"
  }

  public init(
    layer: Int, tokens: Int, keptRows: Int, windowRows: Int, storedBytes: Int, archiveBytes: Int,
    codec: String, wholeLayerBytes: Int
  ) {
    self.layer = layer
    self.tokens = tokens
    self.keptRows = keptRows
    self.windowRows = windowRows
    self.storedBytes = storedBytes
    self.archiveBytes = archiveBytes
    self.codec = codec
    let rows = keptRows + windowRows
    rowRatio = rows == 0 ? nil : Double(tokens) / Double(rows)
    byteRatio = storedBytes == 0 ? nil : Double(wholeLayerBytes) / Double(storedBytes)
  }
}

/// What `lagoon show` prints.
public struct SessionDescription: Sendable, Equatable, Codable {
  public var session: SessionView
  public var layers: [LayerView]
  public init(session: SessionView, layers: [LayerView]) {
    self.session = session
    self.layers = layers
  }
}

/// `value` in lowercase hexadecimal with leading zeros.
func hex(_ value: UInt64, digits: Int) -> String {
  let text = String(value, radix: 16)
  return String(repeating: "0", count: max(0, digits - text.count)) + text
}
