import Foundation

/// A table in Markdown, its columns padded so that the source can be read too.
struct MarkdownTable {
  private var rows: [[String]]

  init(_ header: [String]) { rows = [header] }

  /// - Precondition: as many cells as columns.
  mutating func add(_ cells: [String]) {
    precondition(cells.count == rows[0].count)
    rows.append(cells)
  }

  /// First column to the left, the others to the right.
  var text: String {
    let widths = rows[0].indices.map { column in max(3, rows.map { $0[column].count }.max() ?? 0) }
    func line(_ cells: [String]) -> String {
      let padded = cells.enumerated().map { column, cell in
        let blanks = String(repeating: " ", count: widths[column] - cell.count)
        return column == 0 ? cell + blanks : blanks + cell
      }
      return "| " + padded.joined(separator: " | ") + " |\n"
    }
    let rule = widths.enumerated().map { column, width in
      column == 0 ? String(repeating: "-", count: width) : String(repeating: "-", count: width - 1) + ":"
    }
    return line(rows[0]) + "| " + rule.joined(separator: " | ") + " |\n" + rows.dropFirst().map(line).joined()
  }
}

/// Figures as the tables have them. What is not there is a dash.
enum Cell {
  static let nothing = "–"

  static func number(_ value: Double?, _ digits: Int = 3) -> String {
    value.map { String(format: "%.\(digits)f", $0) } ?? nothing
  }

  static func signed(_ value: Double, _ digits: Int) -> String {
    let text = String(format: "%+.\(digits)f", value)
    return text.replacing("-", with: "−")
  }

  /// `+0.123 [+0.050, +0.196]`
  static func difference(_ estimate: Estimate?, _ digits: Int = 3) -> String {
    guard let estimate else { return nothing }
    guard let interval = estimate.interval else { return signed(estimate.mean, digits) }
    return signed(estimate.mean, digits)
      + " [\(signed(interval.lowerBound, digits)), \(signed(interval.upperBound, digits))]"
  }
}
