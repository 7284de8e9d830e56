import ArgumentParser
import Foundation
import LagKV
import LagoonClient
import LanguageModel
import ModelToolSupport
import Tokenization
import ToolSupport
import Transformer

struct Perplexity: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure how well the model predicts a text under a retention policy.",
    discussion: """
      Each token but the first is predicted from the rows that the policy has kept by then. The session is deleted after use.

      EXAMPLES
        lagoon-lm perplexity data/kjv-tiny --text chapter.txt --policy full
        lagoon-lm perplexity data/kjv-tiny --text chapter.txt --policy lagkv --sinks 16 --lag 64 --ratio 0.25 --json
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var daemon: DaemonOptions
  @OptionGroup var retention: RetentionOptions
  @OptionGroup var codec: CodecOption

  @Option(help: "The text: a file, or - for standard input.")
  var text: String

  @Flag(help: "Print the result as JSON.")
  var json = false

  struct Result: Encodable {
    /// Mean over the predicted tokens, natural logarithm.
    var meanNLL: Double
    /// Bits per byte of the predicted text.
    var bitsPerByte: Double
    var tokens: Int
    var predicted: Int
    /// Rows that a head holds at the end, window included.
    var kept: Int
    var policy: String
    var sinks: Int
    var lag: Int
    var ratio: Double
    var dtype: String
    var codec: String
    var compute: String
    var seconds: Double
    var tokensPerSecond: Double

    enum CodingKeys: String, CodingKey {
      case tokens, predicted, kept, policy, sinks, lag, ratio, dtype, codec, compute, seconds
      case meanNLL = "mean_nll"
      case bitsPerByte = "bits_per_byte"
      case tokensPerSecond = "tokens_per_second"
    }
  }

  func run() throws {
    let decoder = try model.load()
    let tokenizer = try model.tokenizer(decoder.configuration)
    let tokens = try tokenizer.encode(Input.text(text), isBeginning: true)
    guard tokens.count >= 2 else {
      throw ToolError("\(text) has \(tokens.count) tokens; two are needed to predict one")
    }
    let fingerprint = try decoder.fingerprint()
    let link = try daemon.connect(decoder.configuration, chunk: model.chunk)
    defer { link.close() }
    let parameters = try retention.parameters(
      name: "perplexity", decoder.configuration, fingerprint: fingerprint, dtype: .float32, codec: codec)
    let result = try ScratchSession.with(link.connection, parameters) { session in
      try measure(decoder, tokens, tokenizer, session, link.connection)
    }
    if json { return try Output.json(result) }
    try Output.write(
      """
      mean NLL \(String(format: "%.6f", result.meanNLL)), \(String(format: "%.4f", result.bitsPerByte)) bits per byte over \
      \(Units.count(result.predicted)) predicted tokens
      policy \(result.policy), \(Units.count(result.kept)) of \(Units.count(result.tokens)) rows per head kept, \
      \(Units.rate(result.tokensPerSecond, "tokens")), \(result.compute)

      """)
  }

  private func measure(
    _ decoder: DecoderModel, _ tokens: [UInt32], _ tokenizer: any Tokenizer, _ session: RemoteSession,
    _ connection: LagoonConnection
  ) throws -> Result {
    let progress = ProgressLine(total: tokens.count, unit: "tokens")
    defer { progress.finish() }
    var sum = 0.0
    try SessionFeed(model: decoder, session: session, chunk: model.chunk).run(tokens, from: 0, logits: .all) {
      range, logits in
      sum += CrossEntropy.negativeLogLikelihood(logits, chunk: range, of: tokens)
      progress.update(range.upperBound)
      try ExitCleanup.throwIfEnding()
    }
    let parameters = session.parameters
    let bytes = tokenizer.decode(Array(tokens.dropFirst())).count
    return Result(
      meanNLL: sum / Double(tokens.count - 1), bitsPerByte: sum / log(2) / Double(max(bytes, 1)),
      tokens: tokens.count,
      predicted: tokens.count - 1, kept: try connection.describe(parameters.name).rowsPerHead,
      policy: parameters.policy.name, sinks: parameters.sinks, lag: parameters.lag, ratio: parameters.ratio,
      dtype: parameters.elementType.name, codec: parameters.codec.name, compute: decoder.computeSummary,
      seconds: progress.elapsed,
      tokensPerSecond: Double(tokens.count) / progress.elapsed)
  }
}
