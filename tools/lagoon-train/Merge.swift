import ArgumentParser
import ToolSupport
import Transformer

struct Merge: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write a model with a LoRA adapter in its weights.",
    discussion: """
      ADAPTER is a folder in PEFT's layout: adapter_config.json and adapter_model.safetensors. FOLDER becomes a Hugging Face \
      folder like MODEL's, with its tokenizer. Memory does not grow with the model.

      EXAMPLES
        lagoon-train merge data/kjv-tiny runs/recall/adapter -o merged
        lagoon-train merge data/kjv-tiny runs/recall/adapter -o merged --dtype original
      """)

  @Argument(help: "Model folder that the adapter was trained on.")
  var model: String

  @Argument(help: "Adapter folder.")
  var adapter: String

  @Option(name: .shortAndLong, help: "The folder to write; must not be there, or be empty.")
  var output: String

  @Option(help: "Type of the weights: f32, which loses nothing, or original, rounded to what MODEL has.")
  var dtype = SavedWeights.float32

  @Flag(help: "Print what was written as JSON.")
  var json = false

  struct Result: Encodable {
    var output: String
    var rank: Int
    var scale: Double
    var updatedMatrices: Int
    var replacedTensors: Int
    var parameters: Int
    var dtype: String
    var seconds: Double

    enum CodingKeys: String, CodingKey {
      case output, rank, scale, parameters, dtype, seconds
      case updatedMatrices = "updated_matrices"
      case replacedTensors = "replaced_tensors"
    }
  }

  func run() throws {
    let merge = try LowRankMerge(model: model, adapter: adapter)
    let progress = ProgressLine(total: merge.model.parameterCount, unit: "weights")
    defer { progress.finish() }
    // A model that is there is never overwritten, least of all the one that is read.
    try NewFolder.fill(output) { try merge.write(to: $0, as: dtype) { progress.update($0) } }
    progress.finish()
    let result = Result(
      output: output, rank: merge.configuration.rank, scale: merge.configuration.scale,
      updatedMatrices: merge.matrices, replacedTensors: merge.replaced,
      parameters: merge.model.parameterCount, dtype: dtype.rawValue, seconds: progress.elapsed)
    if json { return try Output.json(result) }
    try Output.write(
      "\(output): \(Units.count(result.parameters)) weights, \(result.updatedMatrices) matrices updated at rank \(result.rank) "
        + "times \(result.scale), \(result.replacedTensors) tensors replaced, in \(Units.seconds(result.seconds))\n"
    )
  }
}

extension SavedWeights: ExpressibleByArgument {}
