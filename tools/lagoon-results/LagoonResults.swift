import ArgumentParser
import ToolSupport

/// Remakes the measurements of `docs/results.md`.
@main
struct LagoonResults: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lagoon-results",
    abstract: "Run the experiment of docs/results.md, and put what it measured into the document.",
    discussion: """
      Does training under LRSA make a model recall more under LRSA than training with dense attention does? The design is in \
      docs/results.md. Everything is done by lagoon-train, which stands beside this program.

      EXAMPLES
        lagoon-results run --folder results
        lagoon-results report --folder results -o docs/results.md
        lagoon-results run --folder results-smoke --smoke
      """,
    version: ToolVersion.text("lagoon-results"),
    subcommands: [Run.self, Report.self])

  static func main() {
    runTool()
  }
}
