import ArgumentParser
import LanguageModel
import Tokenization
import Transformer

/// How tokens are chosen and when a text ends.
struct SamplingOptions: ParsableArguments {
  @Option(help: "Most tokens to generate.")
  var maxTokens = 128

  @Option(help: "0 is greedy, 1 as trained, more is wilder.")
  var temperature = 0.0

  @Option(help: "Draw from the likeliest tokens that hold this share of the probability.")
  var topP = 1.0

  @Option(help: "Seed of the draws.")
  var seed: UInt64 = 0

  @Option(
    help: ArgumentHelp(
      "End before this text. May be given more than once.",
      discussion: "A newline is typed as $'\\n'. The model's own end tokens always end a text.",
      valueName: "text"))
  var stop: [String] = []

  func validate() throws {
    guard (1...1 << 20).contains(maxTokens) else {
      throw ValidationError("--max-tokens \(maxTokens) is not in 1...1048576.")
    }
    guard !stop.contains("") else {
      throw ValidationError("--stop is empty; it would end every text at once.")
    }
  }

  /// - Parameter replacingInvalid: whether bytes that are no UTF-8 are shown as U+FFFD.
  func prompt(_ tokens: [UInt32], replacingInvalid: Bool) throws -> Prompt {
    Prompt(
      tokens: tokens, maximumTokens: maxTokens,
      sampler: try Sampler(temperature: temperature, topP: topP, seed: seed),
      stream: try TextStream(stopStrings: stop, replacingInvalid: replacingInvalid))
  }
}
