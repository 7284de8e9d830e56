import ArgumentParser
import Foundation
import LagKV
import LagoonClient
import LanguageModel
import ModelToolSupport
import Safetensors
import ToolSupport
import Transformer

struct Logits: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write the logits of every token, with everything kept unless --policy says otherwise.",
    discussion: """
      OUT.safetensors gets "logits", f32 [tokens, vocabulary]: row t predicts token t + 1.

      EXAMPLES
        lagoon-lm tokenize data/kjv-tiny --text chapter.txt > ids.json
        lagoon-lm logits data/kjv-tiny --tokens ids.json -o logits.safetensors
        lagoon-lm logits data/kjv-tiny --tokens ids.json -o lagkv.safetensors --policy lagkv --lag 64 --ratio 0.25
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var daemon: DaemonOptions
  @OptionGroup var retention: RetentionOptions
  @OptionGroup var codec: CodecOption

  @Option(help: "Token ids: a file with a JSON array, or - for standard input.")
  var tokens: String

  @Option(name: .shortAndLong, help: "The safetensors file to write.")
  var output: String

  @Flag(help: "Print what was written as JSON.")
  var json = false

  struct Result: Encodable {
    var tokens: Int
    var vocabulary: Int
    var output: String
    var compute: String
    var seconds: Double
  }

  func run() throws {
    let decoder = try model.load()
    let ids = try Input.tokenIDs(tokens)
    let vocabulary = decoder.configuration.vocabularySize
    let fingerprint = try decoder.fingerprint()
    let link = try daemon.connect(decoder.configuration, chunk: model.chunk)
    defer { link.close() }
    let parameters = try retention.parameters(
      name: "logits", decoder.configuration, fingerprint: fingerprint, dtype: .float32, policy: .full,
      codec: codec)
    let progress = ProgressLine(total: ids.count, unit: "tokens")
    defer { progress.finish() }
    var logits: [Float] = []
    logits.reserveCapacity(ids.count * vocabulary)
    try ScratchSession.with(link.connection, parameters) { session in
      try SessionFeed(model: decoder, session: session, chunk: model.chunk).run(ids, from: 0, logits: .all) {
        range, rows in
        logits += rows
        progress.update(range.upperBound)
        try ExitCleanup.throwIfEnding()
      }
    }
    var writer = SafetensorsWriter()
    try writer.add("logits", shape: [ids.count, vocabulary], logits)
    try writer.write(to: output)
    let seconds = progress.elapsed
    if json {
      try Output.json(
        Result(
          tokens: ids.count, vocabulary: vocabulary, output: output, compute: decoder.computeSummary,
          seconds: seconds))
    } else {
      try Output.write(
        "\(output): logits [\(ids.count), \(vocabulary)], \(Units.seconds(seconds)), \(decoder.computeSummary)\n"
      )
    }
  }
}
