import ArgumentParser
import ToolSupport

@main
struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lagoon-bench",
    abstract: "Checks Lagoon against golden cases and measures it against this machine's own limits.",
    discussion: """
      Every benchmark prints its figure, the machine's ceiling measured in the same run, and their ratio: the machine may be
      shared, so a time alone says little. Those of the store start a private daemon on a store of its own.

      EXAMPLES
        lagoon-bench golden Tests/Fixtures/golden
        lagoon-bench attend --keys 32768 --dtype bf16
        lagoon-bench append --durability process --json
        lagoon-bench train-step data/kjv-tiny
      """,
    version: ToolVersion.text("lagoon-bench"),
    subcommands: [
      Golden.self, Compress.self, Attend.self, Backward.self, Latency.self, Append.self, Decode.self,
      Churn.self, Open.self, CodecBench.self, Clients.self, Stream.self, LongDocument.self, Tokenize.self,
      Tokens.self, Rounding.self, Ageing.self, TrainStep.self, Memory.self, Growth.self, Report.self,
    ])

  static func main() {
    PassiveThreads.prefer()
    runTool()
  }
}
