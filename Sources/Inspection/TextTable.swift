/// A table of text in aligned columns.
public struct TextTable: Sendable {
  public enum Alignment: Sendable { case left, right }

  let titles: [String]
  let alignments: [Alignment]
  var rows: [[String]] = []

  /// Columns with their titles, units included where the cells don't carry them.
  public init(_ columns: [(title: String, alignment: Alignment)]) {
    titles = columns.map(\.title)
    alignments = columns.map(\.alignment)
  }

  /// - Precondition: one cell for each column.
  public mutating func add(_ cells: [String]) {
    precondition(cells.count == titles.count)
    rows.append(cells)
  }

  /// Title line, rows; two blanks between columns, no blanks at the ends of lines, a newline after each.
  public var text: String {
    let widths = titles.indices.map { column in
      ([titles] + rows).map { $0[column].count }.max() ?? 0
    }
    var text = ""
    for row in [titles] + rows {
      let cells = zip(row, zip(widths, alignments)).map { cell, place in
        let blanks = String(repeating: " ", count: place.0 - cell.count)
        return place.1 == .left ? cell + blanks : blanks + cell
      }
      var line = Substring(cells.joined(separator: "  "))
      while line.last == " " { line.removeLast() }
      text += line + "\n"
    }
    return text
  }
}
