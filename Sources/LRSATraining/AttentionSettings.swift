import LagKV
import LagoonClient
import Transformer

/// What a run's sessions keep: of each document one policy and ratio, drawn from a mix.
public struct AttentionSettings: Codable, Sendable, Hashable {
  /// One way of keeping, and how often it is drawn.
  public struct Choice: Codable, Sendable, Hashable {
    /// A policy's name.
    public var policy: String
    public var ratio: Double
    /// Relative to the other choices', above 0.
    public var weight: Double

    public init(policy: PolicyKind, ratio: Double, weight: Double = 1) {
      self.policy = policy.name
      self.ratio = ratio
      self.weight = weight
    }
  }

  /// Not empty; the first one is that of evaluations.
  public var choices: [Choice]
  public var sinks: Int
  public var lag: Int
  public var valueWeight: Double
  public var exemptLayers: [Int]
  /// A type's name.
  public var dtype: String
  /// Chunks back to which gradients of keys and values go; nil: all, which is exact.
  public var backpropagatedChunks: Int?

  public init(
    choices: [Choice], sinks: Int, lag: Int, valueWeight: Double = 1, exemptLayers: [Int] = [],
    dtype: ElementType, backpropagatedChunks: Int? = nil
  ) {
    self.choices = choices
    self.sinks = sinks
    self.lag = lag
    self.valueWeight = valueWeight
    self.exemptLayers = exemptLayers
    self.dtype = dtype.name
    self.backpropagatedChunks = backpropagatedChunks
  }

  /// What is kept of a document.
  ///
  /// - Parameters:
  ///   - number: of the document in the run; nil: an evaluation.
  ///   - seed: the run's.
  public func choice(document number: Int?, seed: UInt64) -> Choice {
    guard let number, choices.count > 1 else { return choices[0] }
    var random = SplitMix64(seed: Self.mixed(seed, number))
    let total = choices.reduce(0) { $0 + $1.weight }
    var draw = random.unit() * total
    for choice in choices {
      draw -= choice.weight
      if draw < 0 { return choice }
    }
    return choices[choices.count - 1]
  }

  /// The session of a document, gone with the connection; only what will be walked backwards has an archive. Policy `random`
  /// drops other rows in every document.
  func session(document number: Int?, seed: UInt64, _ configuration: ModelConfiguration) -> SessionParameters
  {
    let choice = choice(document: number, seed: seed)
    return SessionParameters(
      name: "train-\(UInt64.random(in: 0...UInt64.max))", layers: configuration.layers,
      kvHeads: configuration.kvHeads, headDim: configuration.headDim,
      elementType: ElementType(name: dtype) ?? .float32, policy: PolicyKind(name: choice.policy) ?? .lagkv,
      sinks: sinks, lag: lag, ratio: choice.ratio, valueWeight: valueWeight,
      seed: number.map { Self.mixed(seed, $0) } ?? seed, exemptLayers: Set(exemptLayers),
      archive: number != nil, ephemeral: true)
  }

  private static func mixed(_ seed: UInt64, _ number: Int) -> UInt64 {
    var random = SplitMix64(seed: seed ^ UInt64(number) &* 0x9E37_79B9_7F4A_7C15)
    return random.next()
  }
}
