import ArgumentParser
import ToolSupport

/// Trains a model under the sparse attention that it will be used with.
@main
struct LagoonTrain: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lagoon-train",
    abstract: "Gradients of a language model under LRSA, on documents longer than memory.",
    discussion: """
      MODEL is a Hugging Face folder. A daemon is used by --socket; without it each command starts a daemon of its own.

      EXAMPLES
        lagoon-train gradients data/kjv-tiny --tokens ids.json --sinks 4 --lag 64 --ratio 0.25 -o gradients.safetensors
        lagoon-train merge data/kjv-tiny run/adapter -o merged
      """,
    subcommands: [Gradients.self, Merge.self])

  static func main() {
    PassiveThreads.prefer()
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch {
      // After Ctrl-C whatever failed did so because of it, and the signal's handler ends the process.
      ExitCleanup.waitIfEnding()
      exit(withError: error)
    }
  }
}
