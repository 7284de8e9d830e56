/// How a document's tokens are laid out in columns and rows of cells, the same for every head of a picture.
///
/// Every partition keeps the same number of tokens, so a plain average over stretches of the document shows nothing
/// but how the stretches lie over the partitions. Columns therefore hold whole partitions, or equal parts of one, and
/// a column's tokens run from top to bottom in `rows` cells. Where several partitions share a column (long
/// documents), they lie over each other, and a row is a place in the partition.
public struct GridLayout: Sendable, Equatable {
  /// Tokens before the first partition; they are not part of the grid.
  public let sinks: Int
  /// Tokens of a partition.
  public let lag: Int
  /// Tokens of the session.
  public let tokens: Int
  /// Partitions drawn; the last one may be incomplete.
  public let partitions: Range<Int>
  /// Above 1: several partitions lie over each other in a column.
  public let partitionsPerColumn: Int
  /// Above 1: a partition is cut into several columns. Never together with `partitionsPerColumn`.
  public let columnsPerPartition: Int
  /// Cells of a column.
  public let rows: Int
  public let columns: Int

  /// - Parameters:
  ///   - shown: token positions to draw; widened to whole partitions, cut at the session's end.
  ///   - maxColumns: columns that the picture has room for, at least 1.
  ///   - maxRows: cells a column is cut into at most, at least 1.
  public init(sinks: Int, lag: Int, tokens: Int, shown: Range<Int>, maxColumns: Int, maxRows: Int = 8) {
    precondition(lag >= 1 && sinks >= 0 && maxColumns >= 1 && maxRows >= 1)
    self.sinks = sinks
    self.lag = lag
    self.tokens = tokens
    let first = max(0, shown.lowerBound - sinks) / lag
    let end = (max(0, min(shown.upperBound, tokens) - sinks) + lag - 1) / lag
    partitions = first..<max(first, end)
    if partitions.count > maxColumns {
      partitionsPerColumn = (partitions.count + maxColumns - 1) / maxColumns
      columnsPerPartition = 1
    } else {
      partitionsPerColumn = 1
      columnsPerPartition = Self.parts(of: lag, atMost: maxColumns / max(1, partitions.count) / 4)
    }
    rows = Self.parts(of: lag / columnsPerPartition, atMost: maxRows)
    columns = (partitions.count + partitionsPerColumn - 1) / partitionsPerColumn * columnsPerPartition
  }

  /// The most equal parts, up to `limit`, that `count` can be cut into; unequal ones where equal ones would be few.
  static func parts(of count: Int, atMost limit: Int) -> Int {
    let limit = max(1, min(count, limit))
    let equal = (1...limit).last { count % $0 == 0 } ?? 1
    return equal * 2 > limit ? equal : limit
  }

  /// Positions from the first drawn partition to the session's end or the end of the last drawn partition.
  public var positions: Range<Int> {
    let first = sinks + partitions.lowerBound * lag
    return first..<max(first, min(tokens, sinks + partitions.upperBound * lag))
  }

  /// Positions that a column spans from its left edge to its right one.
  public var tokensPerColumn: Double { Double(lag * partitionsPerColumn) / Double(columnsPerPartition) }

  /// Tokens of one partition that share a cell (a mean, where a partition cannot be cut equally).
  public var tokensPerCell: Double { Double(lag) / Double(columnsPerPartition * rows) }

  /// The column in which a position lies, as a place on the horizontal axis, in columns from the left edge.
  public func place(of position: Int) -> Double {
    Double(position - positions.lowerBound) / tokensPerColumn
  }

  /// The cell of a position of the grid.
  func cell(of position: Int) -> Int {
    let (partition, offset) = (position - sinks).quotientAndRemainder(dividingBy: lag)
    // Part k of n begins at ⌊k·lag/n⌋.
    let part = ((offset + 1) * columnsPerPartition * rows - 1) / lag
    let column = (partition - partitions.lowerBound) / partitionsPerColumn * columnsPerPartition + part / rows
    return column * rows + part % rows
  }
}

/// The fraction of its tokens that a KV head keeps, cell by cell.
public struct KeptGrid: Sendable, Equatable {
  public let layout: GridLayout
  /// `[columns, rows]`; `nil` where a cell holds no token (behind the document's end).
  public let fractions: [Float?]

  /// - Parameter kept: positions of the rows that the head holds, the window's included, in any order; those that
  ///   the layout doesn't draw are left out.
  public init(_ layout: GridLayout, kept: some Sequence<UInt32>) {
    var tokens = [Int32](repeating: 0, count: layout.columns * layout.rows)
    var keptTokens = tokens
    for position in layout.positions { tokens[layout.cell(of: position)] += 1 }
    for position in kept where layout.positions.contains(Int(position)) {
      keptTokens[layout.cell(of: Int(position))] += 1
    }
    self.layout = layout
    fractions = zip(keptTokens, tokens).map { $1 == 0 ? nil : Float($0) / Float($1) }
  }

  public subscript(column: Int, row: Int) -> Float? { fractions[column * layout.rows + row] }
}
