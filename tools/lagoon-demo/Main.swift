import ArgumentParser
import Foundation
import LagoonClient
import LanguageModel
import ToolSupport
import Transformer

/// What `make demo` runs: Lagoon's main job on real input, from a book to answers, through a daemon of its own.
@main
struct LagoonDemo: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lagoon-demo",
    abstract: "Read a stretch of a book into four sessions, full and compressed, and ask them about it.",
    discussion: """
      Starts a daemon on a store and socket of its own, and stops and removes both in the end, also when interrupted. \
      Exits with 1 if a session does not continue after kill -9 as it did before.
      """,
    version: ToolVersion.text("lagoon-demo"))

  @Option(help: "Bytes of the document, 4096 to 65536.")
  var length = 32_768

  @Option(help: ArgumentHelp("Folder of the model.", valueName: "dir"), completion: .directory)
  var model = "data/kjv-tiny"

  @Option(help: ArgumentHelp("Folder for the heat map.", valueName: "dir"), completion: .directory)
  var output = "demo-out"

  @Option(help: "Seed of the planted numbers and their places.")
  var seed: UInt64 = 1

  @Option(
    help: ArgumentHelp("Keep the store in this folder, which must not exist yet.", valueName: "dir"),
    completion: .directory)
  var keep: String?

  func validate() throws {
    guard (4096...65_536).contains(length) else { throw ValidationError("--length must be 4096 to 65536.") }
    if let keep, FileManager.default.fileExists(atPath: keep) {
      throw ValidationError("\(keep) exists already; --keep makes a new folder.")
    }
  }

  func run() throws {
    try Demo(self).run()
  }

  static func main() {
    PassiveThreads.prefer()
    runTool()
  }
}
