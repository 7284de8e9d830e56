import ArgumentParser
import ToolSupport

/// Parses the command line and runs one subcommand; each has its file.
@main
struct Lagoon: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lagoon",
    abstract: "Inspect and administer a Lagoon store.",
    discussion: """
      Every command asks the running daemon; with --store DIR, it reads the store of a stopped daemon, and never \
      writes there. --json prints sizes as bytes and times as seconds for programs.

      EXAMPLES
        lagoon list
        lagoon show book
        lagoon heatmap book --layer 2 -o book.png
        lagoon verify --store /var/lib/lagoon
        lagoon stats --json | jq .live_bytes

      Completions for your shell, session names included:
        lagoon --generate-completion-script bash > ~/.local/share/bash-completion/completions/lagoon
      """,
    version: ToolVersion.text("lagoon"),
    subcommands: [List.self, Show.self, Heatmap.self, Verify.self, Delete.self, Stats.self])

  static func main() {
    runTool()
  }
}
