/// What a LoRA adapter trains (Hu et al. 2021, arXiv 2106.09685): beside each chosen matrix `W`, `[outputs, inputs]`, two thin
/// ones, so that the decoder computes with `W + scale · B · A`, with `A` of `[rank, inputs]` and `B` of `[outputs, rank]`; and,
/// if wanted, some other parameters as a whole.
public struct LowRankConfiguration: Codable, Sendable, Hashable {
  /// At least 1 and at most the smaller extent of every chosen matrix.
  public var rank: Int
  /// `scale` is `alpha / rank`; positive.
  public var alpha: Double
  /// Linear layers that get an adapter, by their modules' names or the ends of them, such as `q_proj` or `layers.3.mlp.up_proj`.
  public var targets: [String]
  /// Modules whose parameters are trained as a whole: what the ends of their names are, cut anywhere, as PEFT has it: `norm` is
  /// every norm.
  public var modulesToSave: [String]
  /// Whether `scale` is `alpha / √rank` (Kalajdzievski 2023, arXiv 2312.03732).
  public var isRankStabilized: Bool

  /// Every linear layer of a decoder's layers.
  public static let linearLayers = [
    "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
  ]

  /// - Parameters:
  ///   - trainsNorms: whether all norms are trained as a whole.
  ///   - trainsEmbeddings: whether embedding and head are.
  public init(
    rank: Int, alpha: Double, targets: [String] = linearLayers, trainsNorms: Bool = false,
    trainsEmbeddings: Bool = false, isRankStabilized: Bool = false
  ) {
    self.init(
      rank: rank, alpha: alpha, targets: targets,
      modulesToSave: (trainsEmbeddings ? ["embed_tokens", "lm_head"] : []) + (trainsNorms ? ["norm"] : []),
      isRankStabilized: isRankStabilized)
  }

  public init(
    rank: Int, alpha: Double, targets: [String], modulesToSave: [String], isRankStabilized: Bool = false
  ) {
    self.rank = rank
    self.alpha = alpha
    self.targets = targets
    self.modulesToSave = modulesToSave
    self.isRankStabilized = isRankStabilized
  }

  /// Factor of `B · A`.
  public var scale: Double { alpha / (isRankStabilized ? Double(rank).squareRoot() : Double(rank)) }
}
