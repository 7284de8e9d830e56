/// A table for a terminal: a header, a rule, rows; columns as wide as their widest cell.
public struct Table: Sendable {
  public enum Alignment: Sendable { case left, right }

  private let columns: [(title: String, alignment: Alignment)]
  private var rows: [[String]] = []

  public init(_ columns: [(title: String, alignment: Alignment)]) {
    self.columns = columns
  }

  /// Adds a row. Missing cells are empty.
  ///
  /// - Precondition: no more cells than columns.
  public mutating func add(_ cells: [String]) {
    precondition(cells.count <= columns.count, "more cells than columns")
    rows.append(cells + Array(repeating: "", count: columns.count - cells.count))
  }

  /// The table with a newline after each line and no blanks at line ends.
  public var text: String {
    let widths = columns.indices.map { column in
      rows.map { $0[column].count }.reduce(columns[column].title.count, max)
    }
    func line(_ cells: [String]) -> String {
      let padded = zip(cells, zip(columns, widths)).map { cell, place in
        let blanks = String(repeating: " ", count: place.1 - cell.count)
        return place.0.alignment == .left ? cell + blanks : blanks + cell
      }
      var text = padded.joined(separator: "  ")
      while text.last == " " { text.removeLast() }
      return text + "\n"
    }
    let rule = widths.map { String(repeating: "─", count: $0) }
    return line(columns.map(\.title)) + line(rule) + rows.map(line).joined()
  }
}
