import ArgumentParser
import LRSATraining
import LagoonClient
import ModelToolSupport
import Safetensors
import ToolSupport
import Transformer

struct Gradients: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write the exact gradient of every parameter for one document.",
    discussion: """
      The loss is the mean cross-entropy of each token but the first, in nats, under LRSA attention with the selection held \
      constant. OUT.safetensors gets "loss", f32 [1], and each parameter's gradient, f32, under its Hugging Face name; that of a \
      tied matrix once.

      EXAMPLES
        lagoon-lm tokenize data/kjv-tiny --text chapter.txt > ids.json
        lagoon-train gradients data/kjv-tiny --tokens ids.json --sinks 4 --lag 64 --ratio 0.25 -o gradients.safetensors
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var daemon: DaemonOptions
  @OptionGroup var retention: RetentionOptions

  @Option(help: "Token ids: a file with a JSON array, or - for standard input.")
  var tokens: String

  @Option(name: .shortAndLong, help: "The safetensors file to write.")
  var output: String

  @Option(
    help: ArgumentHelp(
      "Chunks back to which gradients of keys and values go (default: all, which is exact).",
      valueName: "chunks"))
  var bptt: Int?

  @Flag(help: "Print what was written as JSON.")
  var json = false

  struct Result: Encodable {
    var loss: Double
    var gradientNorm: Double
    var tokens: Int
    var output: String
    var compute: String
    var seconds: Double

    enum CodingKeys: String, CodingKey {
      case loss, tokens, output, compute, seconds
      case gradientNorm = "gradient_norm"
    }
  }

  func validate() throws {
    if let bptt, !(0...1 << 30).contains(bptt) { throw ValidationError("--bptt \(bptt) is not in 0...2^30.") }
  }

  func run() throws {
    let ids = try Input.tokenIDs(tokens)
    guard ids.count >= 2 else { throw ToolError("\(tokens) has one token; two are needed to predict one") }
    let decoder = try TrainableDecoder(
      folder: model.folder, compute: model.compute, frequencies: model.ropeFrequencies)
    let link = try daemon.connect(
      arenaBytes: DaemonTrainingAttention.arenaBytes(decoder.configuration, chunk: model.chunk))
    defer { link.close() }
    var parameters = try retention.parameters(
      name: "gradients", decoder.configuration, fingerprint: [], dtype: .float32)
    parameters.archive = true
    let progress = ProgressLine(total: 2 * ids.count, unit: "tokens")
    defer { progress.finish() }
    let loss = try ScratchSession.with(link.connection, parameters) { session in
      let reach = bptt.map { $0 * model.chunk }
      let attention = try DaemonTrainingAttention(
        session, decoder.configuration, chunk: model.chunk,
        detachedBefore: { first in reach.map { max(0, first - $0) } ?? 0 })
      defer { attention.close() }
      return try BatchPass(decoder: decoder, chunk: model.chunk).run(
        [.init(ids, attention: attention)], scale: 1 / Double(ids.count - 1)
      ) { pass in
        progress.update(pass.phase == .forward ? pass.done : pass.total + pass.done)
        try ExitCleanup.throwIfEnding()
      }
    }
    try write(decoder, loss)
    try report(decoder, loss, tokens: ids.count, seconds: progress.elapsed)
  }

  private func write(_ decoder: TrainableDecoder, _ loss: Double) throws {
    var writer = SafetensorsWriter()
    try writer.add("loss", shape: [1], [Float(loss)])
    for tensor in decoder.gradients.layout.tensors {
      try writer.add(tensor.name, shape: tensor.shape, decoder.gradients[tensor.name] ?? [])
    }
    try writer.write(to: output)
  }

  private func report(_ decoder: TrainableDecoder, _ loss: Double, tokens: Int, seconds: Double) throws {
    let norm = decoder.gradients.withElements { $0.reduce(0.0) { $0 + Double($1) * Double($1) } }.squareRoot()
    if json {
      return try Output.json(
        Result(
          loss: loss, gradientNorm: norm, tokens: tokens, output: output, compute: decoder.computeSummary,
          seconds: seconds))
    }
    try Output.write(
      "\(output): loss \(loss), gradient norm \(norm), \(Units.count(tokens)) tokens in \(Units.seconds(seconds)), "
        + "\(decoder.computeSummary)\n")
  }
}
