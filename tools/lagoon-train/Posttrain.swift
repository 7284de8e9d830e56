import ArgumentParser
import LRSATraining
import LagKV
import LagoonClient
import ModelToolSupport
import ToolSupport
import Transformer

struct Posttrain: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Train a model under the sparse attention that it will be used with.",
    discussion: """
      Every document goes through a daemon: forward over all its chunks, then the chunks in reverse, recomputed and walked \
      backwards. Gradients are those of one masked pass over the document; memory does not grow with its length.

      A run that was stopped or killed goes on with --resume, to the same bytes. A daemon that dies costs the documents \
      under way.

      EXAMPLES
        lagoon-train posttrain data/kjv-tiny --data book.txt --length 16384 --lag 128 --ratio 0.125 -o runs/book
        lagoon-train posttrain data/kjv-tiny --data book.txt --length 16384 --lag 128 --ratio 0.125 -o runs/book --resume
        lagoon-train posttrain MODEL --data qa.jsonl --loss answer --mix lagkv:0.25=3 --mix full=1 -o runs/qa
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var daemon: DaemonOptions
  @OptionGroup(title: "DATA") var data: DataOptions
  @OptionGroup(title: "WHAT IS KEPT") var retention: RetentionOptions

  @Option(
    help: ArgumentHelp(
      "POLICY[:RATIO][=WEIGHT], repeated: each document draws one. Evaluations use the first.",
      valueName: "choice"))
  var mix: [MixChoice] = []

  @Option(
    help: ArgumentHelp(
      "Chunks back to which gradients of keys and values go (default: all, which is exact).",
      valueName: "chunks"))
  var bptt: Int?

  @OptionGroup(title: "WHAT IS TRAINED") var adapter: AdapterOptions
  @OptionGroup(title: "POSITIONS") var rotary: RotaryOptions
  @OptionGroup(title: "OPTIMISER") var optimizer: OptimizerOptions
  @OptionGroup(title: "RUN") var runOptions: RunOptions

  func validate() throws {
    if let bptt, !(0...1 << 30).contains(bptt) { throw ValidationError("--bptt \(bptt) is not in 0...2^30.") }
    guard mix.isEmpty || (retention.policy == nil && retention.ratio == nil) else {
      throw ValidationError("--mix takes the place of --policy and --ratio.")
    }
  }

  func run() throws {
    let decoder = try TrainableDecoder(
      folder: model.folder, compute: model.compute, frequencies: model.ropeFrequencies, rope: rotary.override)
    let length = data.length ?? min(decoder.configuration.maximumPositions ?? 4096, 65_536)
    let chunk = min(model.givenChunk ?? 512, length)
    let attention = try self.attention(decoder.configuration)
    let job = TrainingJob(
      model: model, data: data, optimizer: optimizer, seed: seed, run: runOptions, decoder: decoder,
      trained: try adapter.parameters(decoder, seed: seed), trainedSummary: adapter.summary,
      rope: rotary.override,
      attention: attention, length: length, chunk: chunk, store: daemon.ownStore)
    let supply = DaemonSupply(
      daemon, arenaBytes: DaemonTrainingAttention.arenaBytes(decoder.configuration, chunk: chunk))
    defer { supply.close() }
    try job.train {
      DaemonAttentionSource(
        decoder.configuration, attention, seed: seed, chunk: chunk, connect: supply.connect)
    }
  }

  /// The run's: `RetentionOptions` has the option, and a second one of the same name would never be read.
  private var seed: UInt64 { retention.seed ?? 0 }

  private func attention(_ configuration: ModelConfiguration) throws -> AttentionSettings {
    let plain = MixChoice(
      policy: retention.policy ?? .lagkv, ratio: retention.ratio ?? RetentionOptions.defaultRatio, weight: 1)
    let choices = mix.isEmpty ? [plain] : mix
    let settings = AttentionSettings(
      choices: choices.map { .init(policy: $0.policy, ratio: $0.ratio, weight: $0.weight) },
      sinks: retention.sinks ?? RetentionOptions.defaultSinks,
      lag: retention.lag ?? RetentionOptions.defaultLag,
      valueWeight: retention.valueWeight ?? 1, exemptLayers: try retention.exempt(configuration).sorted(),
      dtype: retention.dtype ?? .float32, backpropagatedChunks: bptt)
    for choice in choices {
      _ = try RetentionParameters(
        policy: choice.policy, sinks: settings.sinks, lag: settings.lag, ratio: choice.ratio,
        valueWeight: settings.valueWeight, exemptLayers: Set(settings.exemptLayers))
    }
    return settings
  }
}

/// `POLICY[:RATIO][=WEIGHT]`.
struct MixChoice: ExpressibleByArgument {
  let policy: PolicyKind
  let ratio: Double
  let weight: Double

  init(policy: PolicyKind, ratio: Double, weight: Double) {
    self.policy = policy
    self.ratio = ratio
    self.weight = weight
  }

  init?(argument: String) {
    let halves = argument.split(separator: "=", omittingEmptySubsequences: false)
    let parts = halves[0].split(separator: ":", omittingEmptySubsequences: false)
    guard halves.count <= 2, (1...2).contains(parts.count), let policy = PolicyKind(name: String(parts[0])),
      let weight = halves.count == 2 ? Double(halves[1]) : 1, weight.isFinite, weight > 0,
      let ratio = parts.count == 2 ? Double(parts[1]) : RetentionOptions.defaultRatio, (0...1).contains(ratio)
    else { return nil }
    self.init(policy: policy, ratio: ratio, weight: weight)
  }
}
