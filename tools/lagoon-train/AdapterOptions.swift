import ArgumentParser
import LRSATraining
import Transformer

/// Whether all weights are trained, or a LoRA adapter beside them.
struct AdapterOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Train a LoRA adapter of this rank instead of all weights.", valueName: "rank"))
  var loraRank: Int?

  @Option(
    help: ArgumentHelp("Scale of the adapter times its rank (default: twice the rank).", valueName: "alpha"))
  var loraAlpha: Double?

  @Option(
    help: ArgumentHelp(
      "Matrices that get an adapter, with commas (default: q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj).",
      valueName: "names"))
  var loraTargets: String?

  @Flag(help: "Train the norms as a whole beside the adapter.")
  var loraNorms = false

  @Flag(help: "Train embedding and head as a whole beside the adapter.")
  var loraEmbeddings = false

  func validate() throws {
    guard loraRank == nil else { return }
    guard loraAlpha == nil, loraTargets == nil, !loraNorms, !loraEmbeddings else {
      throw ValidationError("--lora-rank says that an adapter is trained; the other --lora options need it.")
    }
  }

  private var configuration: LowRankConfiguration? {
    loraRank.map { rank in
      LowRankConfiguration(
        rank: rank, alpha: loraAlpha ?? 2 * Double(rank),
        targets: loraTargets.map { $0.split(separator: ",").map(String.init) }
          ?? LowRankConfiguration.linearLayers,
        trainsNorms: loraNorms, trainsEmbeddings: loraEmbeddings)
    }
  }

  /// What the optimiser changes.
  func parameters(_ decoder: TrainableDecoder, seed: UInt64) throws -> any TrainedParameters {
    guard let configuration else { return FullParameters(decoder) }
    return AdapterParameters(try LowRankAdapter(decoder, configuration, seed: seed))
  }

  /// For people, and for telling runs apart.
  var summary: String {
    guard let configuration else { return "all weights" }
    let whole =
      configuration.modulesToSave.isEmpty ? "" : " and \(configuration.modulesToSave.joined(separator: ", "))"
    return
      "LoRA of rank \(configuration.rank), alpha \(configuration.alpha), of \(configuration.targets.joined(separator: ", "))\(whole)"
  }
}

/// Rotary settings other than the model's, for contexts longer than its own.
struct RotaryOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Base of the rotary frequencies, in place of the model's.", valueName: "theta"))
  var ropeTheta: Double?

  @Option(help: ArgumentHelp("Stretch the context by YaRN.", valueName: "factor"))
  var yarnFactor: Double?

  @Option(
    help: ArgumentHelp(
      "Positions of the context that YaRN stretches (default: the model's max_position_embeddings).",
      valueName: "positions"))
  var yarnPositions: Int?

  /// Nil where the model's own are used.
  var override: RotaryOverride? {
    guard ropeTheta != nil || yarnFactor != nil || yarnPositions != nil else { return nil }
    return RotaryOverride(theta: ropeTheta, yarnFactor: yarnFactor, originalPositions: yarnPositions)
  }
}
