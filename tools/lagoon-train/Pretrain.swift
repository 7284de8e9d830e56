import ArgumentParser
import LRSATraining
import ModelToolSupport
import ToolSupport
import Transformer

struct Pretrain: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Train a model with full attention, on short contexts, without a daemon.",
    discussion: """
      With --from-scratch the model's weights are drawn at random: MODEL then needs a config.json and its tokenizer only \
      (tokens are bytes where there is none).

      EXAMPLES
        lagoon-train pretrain data/kjv-tiny --from-scratch --data book.txt --hold-out 0.05 --length 1024 \\
          --documents-per-step 8 --steps 2000 --learning-rate 2e-3 --evaluate-every 200 -o runs/new
        lagoon-train pretrain data/kjv-tiny --data book.txt --length 2048 -o runs/more
      """)

  @OptionGroup var model: ModelOptions

  @Flag(help: "Begin with random weights.")
  var fromScratch = false

  @OptionGroup(title: "DATA") var data: DataOptions
  @OptionGroup(title: "WHAT IS TRAINED") var adapter: AdapterOptions
  @OptionGroup(title: "POSITIONS") var rotary: RotaryOptions
  @OptionGroup(title: "OPTIMISER") var optimizer: OptimizerOptions
  @OptionGroup(title: "RUN") var runOptions: RunOptions

  @Option(help: "Decides on the order of the data and on all that is drawn.")
  var seed: UInt64 = 0

  func run() throws {
    let decoder = try TrainableDecoder(
      folder: model.folder, weights: fromScratch ? .random(seed: seed) : .saved,
      compute: model.compute, frequencies: model.ropeFrequencies, rope: rotary.override)
    let length = data.length ?? min(decoder.configuration.maximumPositions ?? 1024, 1024)
    guard length <= 32_768 else {
      throw ToolError(
        "--length \(length): full attention in memory is for at most 32768 tokens; posttrain --policy full takes any length"
      )
    }
    let chunk = min(model.givenChunk ?? 2048, length)
    let job = TrainingJob(
      model: model, data: data, optimizer: optimizer, seed: seed, run: runOptions, decoder: decoder,
      trained: try adapter.parameters(decoder, seed: seed),
      trainedSummary: adapter.summary + (fromScratch ? ", from scratch" : ""),
      rope: rotary.override, attention: nil, length: length, chunk: chunk, store: nil)
    try job.train {
      DenseAttentionSource(decoder.configuration, compute: model.compute, capacity: length)
    }
  }
}
