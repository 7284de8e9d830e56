import ArgumentParser
import ToolSupport

/// Trains a model under the sparse attention that it will be used with.
@main
struct LagoonTrain: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lagoon-train",
    abstract: "Train language models under LRSA, on documents longer than memory, and test their recall.",
    discussion: """
      MODEL is a Hugging Face folder. A daemon is used by --socket; without it each command starts a daemon of its own.

      EXAMPLES
        lagoon-train posttrain data/kjv-tiny --data train.jsonl --lag 64 --lora-rank 16 -o runs/recall
        lagoon-train gradients data/kjv-tiny --tokens ids.json --sinks 4 --lag 64 --ratio 0.25 -o gradients.safetensors
        lagoon-train merge data/kjv-tiny runs/recall/model -o merged
        lagoon-train plant --text kjv.txt --length 2048 --documents 2000 --hold-out 0.05 -o train.jsonl
        lagoon-train plot runs/lrsa -o lrsa.svg
      """,
    version: ToolVersion.text("lagoon-train"),
    subcommands: [
      Pretrain.self, Posttrain.self, Eval.self, Merge.self, Gradients.self, Plot.self, Plant.self,
    ])

  static func main() {
    PassiveThreads.prefer()
    runTool()
  }
}
