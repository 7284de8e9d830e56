import ArgumentParser
import ToolSupport

/// Runs a model on the store: the model's arithmetic here, its KV cache in a daemon.
@main
struct LagoonLM: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lagoon-lm",
    abstract: "Run a language model whose KV cache lives in Lagoon.",
    discussion: """
      MODEL is a Hugging Face folder: config.json, weights in safetensors (one file or shards with an index), and the \
      tokenizer's files.

      A daemon is used by --socket. Without it each command starts a daemon of its own, on --store if given, else on a \
      temporary store that is gone when the command ends.

      EXAMPLES
        lagoon-lm info data/kjv-tiny
        lagoon-lm ingest data/kjv-tiny --text bible.txt --session bible --store /var/tmp/lagoon
        lagoon-lm generate data/kjv-tiny --session bible --prompt "And God said" --max-tokens 80 --store /var/tmp/lagoon
        lagoon-lm perplexity data/kjv-tiny --text bible.txt --policy lagkv --sinks 16 --lag 64 --ratio 0.25 --json
      """,
    version: ToolVersion.text("lagoon-lm"),
    subcommands: [
      Info.self, Ingest.self, Generate.self, Ask.self, Perplexity.self, Logits.self, Tokenize.self,
    ])

  static func main() {
    PassiveThreads.prefer()
    runTool()
  }
}
