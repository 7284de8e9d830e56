import ArgumentParser
import LagKV
import LanguageModel
import ModelToolSupport
import Tokenization
import ToolSupport
import Transformer

struct Info: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show what a model is, what its KV cache takes and what it needs to run.",
    discussion: """
      Opens the folder as the other commands do, which reads configuration, headers and norms, and no matrix.

      EXAMPLES
        lagoon-lm info data/kjv-tiny
        lagoon-lm info ~/models/Llama-3.2-1B --tokens 1000000 --lag 1024 --ratio 0.5 --ratio 0.1
        lagoon-lm info data/kjv-tiny --json
      """)

  @Argument(help: ArgumentHelp("Model folder: config.json, safetensors, tokenizer.", valueName: "model"))
  var folder: String

  @Option(help: "Tokens of the document (default: the longest that the model was trained for).")
  var tokens: Int?

  @Option(help: "First tokens that are always kept.")
  var sinks = RetentionOptions.defaultSinks

  @Option(help: "Tokens of a partition.")
  var lag = RetentionOptions.defaultLag

  @Option(
    help: "Share of a partition that is kept, 0...1. May be given more than once (default: 1/2, 1/4, 1/8).")
  var ratio: [Double] = []

  @Option(help: "Tokens per forward pass, for the memory needed.")
  var chunk = 256

  @Flag(help: "Print as JSON.")
  var json = false

  func validate() throws {
    if let tokens, !(1...1 << 32).contains(tokens) {
      throw ValidationError("--tokens \(tokens) is not in 1...\(1 << 32).")
    }
    guard (0...1 << 30).contains(sinks) else {
      throw ValidationError("--sinks \(sinks) is not in 0...\(1 << 30).")
    }
    guard (1...1 << 30).contains(lag) else { throw ValidationError("--lag \(lag) is not in 1...\(1 << 30).") }
    guard ratio.allSatisfy({ (0...1).contains($0) }) else {
      throw ValidationError("a --ratio is not in 0...1.")
    }
    guard (1...8192).contains(chunk) else { throw ValidationError("--chunk \(chunk) is not in 1...8192.") }
  }

  func run() throws {
    let report = try ModelReport(self)
    try json ? Output.json(report) : Output.write(report.text)
  }
}
