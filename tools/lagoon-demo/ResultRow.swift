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

  /// Asks the session for the numbers.
  mutating func recall(_ numbers: [PlantedDocument.Number], _ reader: Reader) throws {
    recalled = try numbers.map { number in
      let answer = try reader.continuation(
        of: plan.name, prompt: Array(number.question.utf8), count: number.answer.utf8.count)
      return answer == Array(number.answer.utf8)
    }
  }

  /// Measures how well the session predicts `following`, and how large it is.
  mutating func measure(_ following: [UInt8], _ reader: Reader) throws {
    bitsPerByte = try reader.bitsPerByte(of: following, after: plan.name)
    let details = try reader.connection.describe(plan.name)
    tokens = details.info.tokens
    kept = details.layers.map { $0.keptRows + $0.windowRows }.max() ?? 0
    storedBytes = details.info.storedBytes
  }

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
