import ArgumentParser
import Foundation
import ToolSupport
import Transformer

struct TrainStep: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "An optimiser step of dense training, beside the rate of its products on oneDNN.",
    discussion: """
      Documents of one length as one batch: forward, loss, backward, AdamW over all weights, on random bytes. Both figures are
      arithmetic a second: the step's counts the products of the linear layers and of causal attention; the ceiling is those of
      the linear layers, each multiplied as a whole by oneDNN, measured between the steps. OMP_NUM_THREADS sets the threads.

      EXAMPLES
        lagoon-bench train-step data/kjv-tiny
        lagoon-bench train-step data/kjv-tiny --documents 8 --tokens 1024 --compute bf16 --json
        tools/compare/train_throughput.py data/kjv-tiny --bench .build/release/lagoon-bench
      """)

  @Argument(help: "Folder of the model: config.json and safetensors.")
  var model: String

  @Option(help: "Documents of a step.")
  var documents = 8

  @Option(help: "Tokens of a document.")
  var tokens = 1024

  @Option(help: "Arithmetic of the products: f32 or bf16.")
  var compute = "f32"

  @Option(help: "Steps that are timed, after two that are not.")
  var rounds = 20

  @Flag(help: "Take a step for each line of standard input; answer each with its seconds and loss, as JSON.")
  var serve = false

  @OptionGroup var output: JSONOption

  func validate() throws {
    guard documents > 0, tokens > 0, rounds > 0, documents <= 1 << 20, tokens <= 1 << 20 else {
      throw ValidationError("--documents, --tokens and --rounds must be positive, and no more than 1048576")
    }
    guard Compute(rawValue: compute) != nil else {
      throw ValidationError("--compute \(compute): f32 or bf16 is expected")
    }
  }

  func run() throws {
    guard let arithmetic = Compute(rawValue: compute) else { return }
    let step = try DenseStep(model: model, compute: arithmetic, documents: documents, tokens: tokens)
    if serve { return try answer(step) }
    let products = try DenseProducts(
      step.decoder.configuration, try MatmulBackend(arithmetic), documents: documents, tokens: tokens)
    var times: [Double] = []
    var rates: [Double] = []
    var losses: [Double] = []
    for round in 0..<rounds + 2 {
      let time = try seconds { losses.append(try step.run()) }
      if round < 2 { continue }
      times.append(time)
      rates.append(try products.rate())
    }
    let operations = products.linearOperations + products.attentionOperations
    let figure = Figure(
      name: "dense step, \(documents) x \(tokens) tokens, \(step.decoder.computeSummary)",
      figure: operations / times.median / 1e9, ceiling: rates.median / 1e9, unit: "GFLOP/s",
      ceilingIs: "oneDNN on its products",
      details: [
        "seconds_median": times.median, "tokens_per_second": Double(documents * tokens) / times.median,
        "share_of_attention": products.attentionOperations / operations,
        "loss_first": losses.first ?? .nan, "loss_last": losses.last ?? .nan,
      ])
    try report([figure], json: output.json)
  }

  private func answer(_ step: DenseStep) throws {
    while readLine() != nil {
      var loss = 0.0
      let time = try seconds { loss = try step.run() }
      try Output.write("{\"seconds\": \(time), \"loss\": \(loss)}\n")
    }
  }
}
