import ArgumentParser
import Inspection
import ToolSupport

struct Show: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show a session, layer by layer.",
    discussion: """
      Rows are counted per KV head: KEPT ROWS those that the policy kept, sinks included, WINDOW ROWS the newest, \
      which are kept whole. ROW RATIO is tokens for each row held; BYTE RATIO is the bytes of all K and V, \
      uncompressed, for each byte stored.

      EXAMPLES
        lagoon show book
        lagoon show book --json | jq '.layers[].kept_rows'
      """)

  @Argument(help: "The session's name.", completion: .sessionName) var session: String
  @OptionGroup var source: SourceOptions
  @Flag(help: "Print JSON.") var json = false

  func run() throws {
    let description = try source.open().describe(session)
    if json { return try Output.json(description) }
    try Output.write(Self.text(description))
  }

  static func text(_ description: SessionDescription) -> String {
    let session = description.session
    let whole = session.wholeLayerBytes * session.layers
    let ratio = session.storedBytes > 0 ? Double(whole) / Double(session.storedBytes) : nil
    var facts = [
      ("session", session.name),
      ("tokens", Units.count(session.tokens)),
      ("policy", session.policyLine),
      (
        "rows",
        "\(session.layers) layers × \(session.kvHeads) KV heads × \(session.headDim) (\(session.elementType))"
      ),
      ("codec", session.codec + (session.archive ? ", every partition also archived whole" : "")),
      (
        "stored",
        Units.bytes(session.storedBytes)
          + (ratio.map { " (all K and V uncompressed: \(Units.bytes(whole)), \(Numbers.factor($0)))" } ?? "")
      ),
      ("model", session.modelFingerprint.isEmpty ? "not checked" : session.modelFingerprint.prefix(12) + "…"),
      ("text hash", session.tokenHash),
      ("created", moment(session.createdUnixSeconds)),
      (
        "committed",
        session.generation == 0
          ? "nothing yet"
          : moment(session.committedUnixSeconds) + ", the last of \(Units.count(session.generation)) commits"
      ),
    ]
    if session.ephemeral { facts.append(("ephemeral", "gone with the client that made it")) }
    if session.hasWriter { facts.append(("writer", "a client is writing")) }
    var text = facts.map { $0.0 + String(repeating: " ", count: 11 - $0.0.count) + $0.1 + "\n" }.joined()
    var table = Table([
      ("LAYER", .right), ("TOKENS", .right), ("KEPT ROWS", .right), ("WINDOW ROWS", .right),
      ("ROW RATIO", .right),
      ("STORED", .right), ("ARCHIVE", .right), ("BYTE RATIO", .right), ("CODEC", .left),
    ])
    for layer in description.layers {
      table.add([
        "\(layer.layer)", Units.count(layer.tokens), Units.count(layer.keptRows),
        Units.count(layer.windowRows), Numbers.factor(layer.rowRatio), Units.bytes(layer.storedBytes),
        layer.archiveBytes == 0 ? "-" : Units.bytes(layer.archiveBytes), Numbers.factor(layer.byteRatio),
        layer.codec,
      ])
    }
    text += "\n" + table.text
    return text
  }
}
