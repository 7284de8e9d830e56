import ArgumentParser
import Inspection
import ToolSupport

struct List: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "List the sessions.",
    discussion: """
      EXAMPLES
        lagoon list
        lagoon list --store /var/lib/lagoon --json
      """)

  @OptionGroup var source: SourceOptions
  @Flag(help: "Print JSON.") var json = false

  func run() throws {
    let sessions = try source.open().sessions()
    if json { return try Output.json(sessions) }
    guard !sessions.isEmpty else { return try Output.write("no sessions\n") }
    var table = Table([
      ("SESSION", .left), ("TOKENS", .right), ("STORED", .right), ("LAYERS", .right), ("KV HEADS", .right),
      ("HEAD DIM", .right), ("TYPE", .left), ("POLICY", .left), ("CODEC", .left), ("LAST COMMIT", .left),
      ("", .left),
    ])
    for session in sessions {
      table.add([
        session.name, Units.count(session.tokens), Units.bytes(session.storedBytes),
        "\(session.layers)", "\(session.kvHeads)", "\(session.headDim)", session.elementType,
        session.policyLine, session.codec + (session.archive ? "+archive" : ""),
        session.generation == 0 ? "-" : moment(session.committedUnixSeconds),
        [session.ephemeral ? "ephemeral" : "", session.hasWriter ? "being written" : ""]
          .filter { !$0.isEmpty }.joined(separator: ", "),
      ])
    }
    try Output.write(table.text)
  }
}
