import LagKV
import LagoonProtocol

/// What a session is made with; fixed from then on.
public struct SessionParameters: Sendable, Hashable {
  /// 1...255 bytes of UTF-8 without control characters.
  public var name: String
  public var layers: Int
  public var kvHeads: Int
  public var headDim: Int
  /// K and V are rounded to this type; all attention, the newest rows' included, uses the rounded rows.
  public var elementType: ElementType
  public var policy: PolicyKind
  /// First tokens that are always kept, S.
  public var sinks: Int
  /// Tokens of a partition, L.
  public var lag: Int
  /// Share of a partition that is kept, r.
  public var ratio: Double
  /// Weight of the value score, w; 1 in the paper.
  public var valueWeight: Double
  /// Of policy `random`.
  public var seed: UInt64
  /// Layers kept whole.
  public var exemptLayers: Set<Int>
  /// Also keep every partition whole, so that another ratio or policy needs no other prefill.
  public var archive: Bool
  public var codec: Codec
  /// Gone when the connection that made it ends, however it ends, and when the daemon does.
  public var ephemeral: Bool
  /// 32 bytes that tell the model; empty: not checked.
  public var fingerprint: [UInt8]

  public init(
    name: String, layers: Int, kvHeads: Int, headDim: Int, elementType: ElementType = .bfloat16,
    policy: PolicyKind = .lagkv, sinks: Int = 16, lag: Int = 128, ratio: Double = 0.25,
    valueWeight: Double = 1,
    seed: UInt64 = 0, exemptLayers: Set<Int> = [], archive: Bool = false, codec: Codec = .raw,
    ephemeral: Bool = false, fingerprint: [UInt8] = []
  ) {
    self.name = name
    self.layers = layers
    self.kvHeads = kvHeads
    self.headDim = headDim
    self.elementType = elementType
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
    self.fingerprint = fingerprint
  }
}

extension SessionParameters {
  /// The wire's message, or nil if a number does not fit its field.
  package var wire: WireSessionConfiguration? {
    guard let layers = UInt32(exactly: layers), let kvHeads = UInt32(exactly: kvHeads),
      let headDim = UInt32(exactly: headDim), let sinks = UInt32(exactly: sinks),
      let lag = UInt32(exactly: lag)
    else { return nil }
    var exempt: [UInt32] = []
    for layer in exemptLayers.sorted() {
      guard let layer = UInt32(exactly: layer) else { return nil }
      exempt.append(layer)
    }
    var message = WireSessionConfiguration()
    message.name = name
    message.layers = layers
    message.kvHeads = kvHeads
    message.headDim = headDim
    message.elementType = elementType.wire
    message.policy = policy.wire
    message.sinks = sinks
    message.lag = lag
    message.ratio = ratio
    message.valueWeight = valueWeight
    message.seed = seed
    message.exemptLayers = exempt
    message.archive = archive
    message.codec = codec.wire
    message.ephemeral = ephemeral
    message.modelFingerprint = .init(fingerprint)
    return message
  }

  /// Nil if the daemon speaks of types, policies or codecs that this version does not know.
  init?(_ message: WireSessionConfiguration) {
    guard let elementType = ElementType(message.elementType), let policy = PolicyKind(message.policy),
      let codec = Codec(message.codec)
    else { return nil }
    self.init(
      name: message.name, layers: Int(message.layers), kvHeads: Int(message.kvHeads),
      headDim: Int(message.headDim), elementType: elementType, policy: policy, sinks: Int(message.sinks),
      lag: Int(message.lag), ratio: message.ratio, valueWeight: message.valueWeight, seed: message.seed,
      exemptLayers: Set(message.exemptLayers.map(Int.init)), archive: message.archive, codec: codec,
      ephemeral: message.ephemeral, fingerprint: Array(message.modelFingerprint))
  }
}
