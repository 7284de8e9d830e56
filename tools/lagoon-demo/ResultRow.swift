import Foundation
import Inspection
import ToolSupport

/// What the demo measures of a session.
struct ResultRow {
  let plan: SessionPlan
  var tokens = 0
  /// Rows of each KV head, window included.
  var kept = 0
  var storedBytes = 0
  var recalled: [Bool] = []
  var bitsPerByte = 0.0

  init(plan: SessionPlan) { self.plan = plan }

  /// The first row is what the others' sizes are compared with.
  static func table(_ rows: [ResultRow]) -> String {
    var table = Table([
      ("session", .left), ("tokens", .right), ("kept per head", .right), ("on disk", .right),
      ("ratio", .right),
      ("numbers recalled", .right), ("bits per byte", .right),
    ])
    for row in rows {
      table.add([
        row.plan.name, Units.count(row.tokens), Units.count(row.kept), Units.bytes(row.storedBytes),
        Numbers.factor(Double(rows[0].storedBytes) / Double(max(1, row.storedBytes))),
        "\(row.recalled.count { $0 }) of \(row.recalled.count)", Numbers.fixed(row.bitsPerByte, digits: 3),
      ])
    }
    return table.text
  }

  static func recallLines(_ rows: [ResultRow]) -> String {
    rows.map { row in
      row.plan.name.padding(toLength: 6, withPad: " ", startingAt: 0)
        + row.recalled.map { $0 ? "+" : "-" }.joined(separator: " ")
    }.joined(separator: "\n")
  }
}
