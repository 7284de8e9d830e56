import ArgumentParser
import LanguageModel
import ModelToolSupport
import ToolSupport

struct Generate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Continue a session's document, or answer a question on it.",
    discussion: """
      Runs on a private overlay: the session stays as it is, and any number of these run at once. Greedy unless \
      --temperature is given. Text is printed as it comes. The prompt is tokenised as text that continues the document: no \
      begin-of-text token, no chat template.

      EXAMPLES
        lagoon-lm generate data/kjv-tiny --session bible --prompt "And God said" --max-tokens 80 --store /var/tmp/lagoon
        lagoon-lm generate data/kjv-tiny --session bible --prompt "Amen." --stop $'\\n' --socket lagoon.sock
        lagoon-lm generate data/kjv-tiny --session bible --temperature 0.8 --top-p 0.9 --seed 7 --socket lagoon.sock
      """)

  @OptionGroup var reading: SessionReading

  @Option(help: "What follows the document (default: a newline).")
  var prompt = "\n"

  @OptionGroup var sampling: SamplingOptions

  @Flag(help: "Print the result as JSON at the end instead of streaming it.")
  var json = false

  struct Result: Encodable {
    var text: String
    var tokenIDs: [UInt32]
    var tokens: Int
    var sessionTokens: Int
    var stopped: String
    var seconds: Double
    var tokensPerSecond: Double
    var compute: String

    enum CodingKeys: String, CodingKey {
      case text, tokens, stopped, seconds, compute
      case tokenIDs = "token_ids"
      case sessionTokens = "session_tokens"
      case tokensPerSecond = "tokens_per_second"
    }
  }

  func validate() throws {
    guard !prompt.isEmpty else {
      throw ValidationError("--prompt is empty; the model continues from something.")
    }
  }

  func run() throws {
    try reading.run { tokenizer in
      let tokens = try tokenizer.encode(Array(prompt.utf8), isBeginning: false)
      guard !tokens.isEmpty else { throw ToolError("--prompt has no tokens in this model's vocabulary") }
      return try sampling.prompt(tokens, replacingInvalid: json)
    } _: { (prompt: Prompt, opened) in
      let batch = PromptBatch(
        model: opened.model, tokenizer: opened.tokenizer, session: opened.session, chunk: reading.model.chunk)
      let clock = ContinuousClock.now
      var result = Answer()
      try batch.run([prompt]) { _, text in
        try ExitCleanup.throwIfEnding()
        if !json { try Output.write(text) }
      } done: { _, answer in
        result = answer
      }
      try report(result, opened, seconds: (ContinuousClock.now - clock).inSeconds)
    }
  }

  private func report(_ answer: Answer, _ opened: SessionReading.Opened, seconds: Double) throws {
    let rate = Double(answer.tokens.count) / seconds
    guard json else {
      try Output.write("\n")
      return Output.note(
        "\(Units.count(answer.tokens.count)) tokens in \(Units.seconds(seconds)), \(Units.rate(rate, "tokens")), "
          + "ended by \(answer.stopReason.rawValue)")
    }
    try Output.json(
      Result(
        text: String(decoding: answer.text, as: UTF8.self), tokenIDs: answer.tokens,
        tokens: answer.tokens.count, sessionTokens: opened.session.info.tokens,
        stopped: answer.stopReason.rawValue, seconds: seconds, tokensPerSecond: rate,
        compute: opened.model.computeSummary))
  }
}
