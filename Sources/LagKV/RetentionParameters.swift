/// Which rule picks the tokens that are kept.
public enum PolicyKind: UInt8, Sendable, CaseIterable {
  /// The lag-relative score of LagKV (arXiv 2504.04704).
  case lagkv = 0
  /// The keys of least L2 norm in each partition; the baseline that the LagKV paper compares with.
  case l2norm = 1
  /// Sinks and window only.
  case streaming = 2
  /// A seeded choice; what any score has to beat.
  case random = 3
  /// Every token is kept.
  case full = 4

  /// The case's name, as the wire, the tools and the reports write it.
  public var name: String {
    switch self {
    case .lagkv: "lagkv"
    case .l2norm: "l2norm"
    case .streaming: "streaming"
    case .random: "random"
    case .full: "full"
    }
  }

  /// The policy with this ``name``.
  public init?(name: String) {
    guard let kind = PolicyKind.allCases.first(where: { $0.name == name }) else { return nil }
    self = kind
  }
}

/// What a session keeps of its tokens: fixed when it is created, and valid once made.
public struct RetentionParameters: Sendable, Hashable {
  public static let maximumSinks = 1_048_576
  public static let maximumLag = 65_536

  public let policy: PolicyKind
  /// Tokens at the start that are always kept, `S`.
  public let sinks: Int
  /// Tokens per partition, `L`.
  public let lag: Int
  /// The share of each scored partition that is kept, `r`.
  public let ratio: Double
  /// The weight `w` of the values' score beside the keys'; `lagkv` only.
  public let valueWeight: Double
  /// Orders the tokens of the `random` policy.
  public let seed: UInt64
  /// Layers that keep every token.
  public let exemptLayers: Set<Int>

  /// - Throws: ``RetentionError`` unless `0 ≤ sinks ≤ 1,048,576`, `1 ≤ lag ≤ 65,536`, `0 ≤ ratio ≤ 1`, `valueWeight`
  ///   is a finite float32 and not negative, and no exempt layer is negative.
  public init(
    policy: PolicyKind, sinks: Int, lag: Int, ratio: Double, valueWeight: Double = 1, seed: UInt64 = 0,
    exemptLayers: Set<Int> = []
  ) throws(RetentionError) {
    guard (0...Self.maximumSinks).contains(sinks) else {
      throw RetentionError(code: .sinks, message: "\(sinks) sinks; allowed are 0 to \(Self.maximumSinks)")
    }
    guard (1...Self.maximumLag).contains(lag) else {
      throw RetentionError(code: .lag, message: "a lag of \(lag) tokens; allowed are 1 to \(Self.maximumLag)")
    }
    guard (0.0...1.0).contains(ratio) else {
      throw RetentionError(code: .ratio, message: "a ratio of \(ratio); allowed are 0 to 1")
    }
    guard valueWeight >= 0, Float(valueWeight).isFinite else {
      throw RetentionError(
        code: .valueWeight, message: "a value weight of \(valueWeight); it must be a float32 from 0 up")
    }
    if let layer = exemptLayers.first(where: { $0 < 0 }) {
      throw RetentionError(code: .exemptLayers, message: "layer \(layer) is exempt; layers count from 0")
    }
    self.policy = policy
    self.sinks = sinks
    self.lag = lag
    self.ratio = ratio
    self.valueWeight = valueWeight
    self.seed = seed
    self.exemptLayers = exemptLayers
  }

  /// Whether this layer keeps every token.
  public func keepsEverything(layer: Int) -> Bool { policy == .full || exemptLayers.contains(layer) }

  /// `K`, the rows that each scored partition keeps per KV head: `Int(ratio * Double(lag))`, a double product
  /// cut off, as the reference does it; the whole lag where everything is kept, 0 for `streaming`.
  public func keptPerPartition(layer: Int) -> Int {
    if keepsEverything(layer: layer) { return lag }
    return policy == .streaming ? 0 : Int(ratio * Double(lag))
  }

  /// The counts of rows in this layer.
  public func geometry(layer: Int) -> TokenGeometry {
    TokenGeometry(sinks: sinks, lag: lag, kept: keptPerPartition(layer: layer))
  }
}
