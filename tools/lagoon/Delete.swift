import ArgumentParser
import Foundation
import ToolSupport

struct Delete: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Delete sessions.",
    discussion: """
      A session is gone at once; its room is reclaimed in the background. A session that a client is writing is \
      refused. If one of the names is no session's, none is deleted. Asks first on a terminal; elsewhere --yes is required.

      EXAMPLES
        lagoon delete draft-1 draft-2
        lagoon delete --yes book
      """)

  @Argument(help: "The sessions' names.", completion: .sessionName) var sessions: [String]
  @Flag(name: .shortAndLong, help: "Don't ask.") var yes = false
  @OptionGroup var source: SourceOptions
  @Flag(help: "Print JSON: the deleted sessions' names.") var json = false

  func validate() throws {
    // Names are bytes to the store; strings are equal when they look the same.
    var seen: Set<[UInt8]> = []
    if let twice = sessions.first(where: { !seen.insert(Array($0.utf8)).inserted }) {
      throw ValidationError("\(twice) is named twice.")
    }
  }

  func run() throws {
    let source = try source.open()
    // Before anything is asked or deleted.
    try source.requireDeletable(sessions)
    if !yes {
      guard isatty(STDIN_FILENO) == 1 else {
        throw ToolError("Nobody is at a terminal to be asked: pass --yes to delete.")
      }
      let names = sessions.joined(separator: ", ")
      Output.show("Delete \(sessions.count == 1 ? "session" : "sessions") \(names)? [y/N] ")
      guard ["y", "yes"].contains(readLine()?.lowercased()) else {
        throw ToolError("Nothing was deleted.")
      }
    }
    try delete(from: source)
    if json { try Output.json(["deleted": sessions]) }
  }

  private func delete(from source: any SessionSource) throws {
    for (index, session) in sessions.enumerated() {
      do {
        try source.delete(session)
      } catch {
        // One that is being written, or that somebody else has deleted since.
        guard index > 0 else { throw error }
        if json { try Output.json(["deleted": Array(sessions[..<index])]) }
        throw ToolError(
          "\(error)\nDeleted before that: \(sessions[..<index].joined(separator: ", ")). "
            + "Not deleted: \(sessions[index...].joined(separator: ", ")).")
      }
      if !json { try Output.write("deleted \(session)\n") }
    }
  }
}
