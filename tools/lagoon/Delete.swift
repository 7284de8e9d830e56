import ArgumentParser
import Foundation
import ToolSupport

struct Delete: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Delete sessions.",
    discussion: """
      A session is gone at once; its room is reclaimed in the background. A session that a client is writing is \
      refused. Asks first on a terminal; elsewhere --yes is required.

      EXAMPLES
        lagoon delete draft-1 draft-2
        lagoon delete --yes book
      """)

  @Argument(help: "The sessions' names.", completion: .sessionName) var sessions: [String]
  @Flag(name: .shortAndLong, help: "Don't ask.") var yes = false
  @OptionGroup var source: SourceOptions
  @Flag(help: "Print JSON: the deleted sessions' names.") var json = false

  func validate() throws {
    if Set(sessions).count != sessions.count { throw ValidationError("A session is named twice.") }
  }

  func run() throws {
    let source = try source.open()
    try source.requireWritable()
    if !yes {
      // A missing session is reported before anything is asked.
      for session in sessions { _ = try source.describe(session) }
      guard isatty(STDIN_FILENO) == 1 else {
        throw ToolError("Nobody is at a terminal to be asked: pass --yes to delete.")
      }
      let names = sessions.joined(separator: ", ")
      FileHandle.standardError.write(
        Data("Delete \(sessions.count == 1 ? "session" : "sessions") \(names)? [y/N] ".utf8))
      guard ["y", "yes"].contains(readLine()?.lowercased()) else {
        throw ToolError("Nothing was deleted.")
      }
    }
    for session in sessions {
      try source.delete(session)
      if !json { print("deleted \(session)") }
    }
    if json { try Output.json(["deleted": sessions]) }
  }
}
