import Inspection
import Testing

@Suite struct KeptGridTests {
  /// Layouts over everything that matters: fewer and more partitions than columns, lags that cut evenly and not,
  /// documents shorter than the sinks, whole and partly shown.
  static let layouts: [GridLayout] = {
    var layouts: [GridLayout] = []
    for lag in [1, 7, 64, 100, 127] {
      for tokens in [1, 16, 17, 200, 1000, 40_000] {
        for maxColumns in [1, 10, 333, 1200] {
          for shown in [0..<tokens, tokens / 3..<tokens / 2 + 1] {
            layouts.append(
              GridLayout(sinks: 16, lag: lag, tokens: tokens, shown: shown, maxColumns: maxColumns))
          }
        }
      }
    }
    return layouts
  }()

  @Test(arguments: layouts)
  func keepingEverythingFillsEveryCellThatHasTokens(layout: GridLayout) {
    let all = KeptGrid(layout, kept: 0..<UInt32(layout.tokens))
    #expect(all.fractions.allSatisfy { $0 == nil || $0 == 1 })
    let none = KeptGrid(layout, kept: [])
    #expect(none.fractions.allSatisfy { $0 == nil || $0 == 0 })
    // Cells without tokens lie behind the document's end only, thus in the last partition drawn.
    let columnsBehind = layout.columnsPerPartition
    let before = all.fractions.prefix(max(0, layout.columns - columnsBehind) * layout.rows)
    #expect(before.allSatisfy { $0 != nil })
  }

  @Test(arguments: layouts)
  func theGridFitsItsRoomAndCoversWhatIsShown(layout: GridLayout) {
    #expect(layout.columns <= 1200)
    #expect(layout.rows >= 1 && layout.rows <= 8)
    #expect(layout.positions.upperBound <= max(layout.tokens, layout.positions.lowerBound))
    #expect(layout.partitionsPerColumn == 1 || layout.columnsPerPartition == 1)
    if !layout.positions.isEmpty {
      #expect(layout.place(of: layout.positions.lowerBound) == 0)
      #expect(layout.place(of: layout.positions.upperBound) <= Double(layout.columns))
    }
  }

  @Test(arguments: layouts)
  func oneKeptTokenLightsOneCellInItsColumn(layout: GridLayout) {
    for position in [layout.positions.lowerBound, layout.positions.upperBound - 1]
    where layout.positions.contains(position) {
      let grid = KeptGrid(layout, kept: [UInt32(position)])
      let lit = grid.fractions.indices.filter { (grid.fractions[$0] ?? 0) > 0 }
      #expect(lit.count == 1)
      // Unequal parts may put a boundary token one column aside of its place on the axis.
      let column = Double((lit.first ?? -1) / layout.rows)
      #expect(abs(layout.place(of: position) - column) < 2)
    }
  }

  @Test func cellsCountTokensTopToBottom() {
    // Partitions of 8 tokens, two rows of four; the first partition keeps 1 and 2 of its tokens, the second 7.
    let layout = GridLayout(sinks: 2, lag: 8, tokens: 18, shown: 0..<18, maxColumns: 4, maxRows: 2)
    #expect(layout.columns == 2 && layout.rows == 2)
    let grid = KeptGrid(layout, kept: [0, 1, 3, 4, 17])
    #expect(grid.fractions == [0.5, 0, 0, 0.25])
  }

  @Test func partitionsLieOverEachOtherInLongDocuments() {
    // Ten partitions of four tokens in five columns: the first token of each is kept.
    let layout = GridLayout(sinks: 0, lag: 4, tokens: 40, shown: 0..<40, maxColumns: 5)
    #expect(layout.partitionsPerColumn == 2 && layout.columns == 5 && layout.rows == 4)
    let grid = KeptGrid(layout, kept: stride(from: UInt32(0), to: 40, by: 4))
    for column in 0..<5 {
      #expect(grid[column, 0] == 1)
      #expect((1..<4).allSatisfy { grid[column, $0] == 0 })
    }
  }

  @Test func cellsBehindTheDocumentHoldNothing() {
    let layout = GridLayout(sinks: 0, lag: 8, tokens: 4, shown: 0..<4, maxColumns: 1, maxRows: 8)
    #expect(KeptGrid(layout, kept: [0]).fractions == [1, 0, 0, 0, nil, nil, nil, nil])
  }

  @Test func positionsOutsideAreLeftOut() {
    let layout = GridLayout(sinks: 4, lag: 8, tokens: 100, shown: 20..<30, maxColumns: 100)
    #expect(layout.positions == 20..<36)
    let inside = KeptGrid(layout, kept: 20..<36)
    #expect(inside == KeptGrid(layout, kept: 0..<100))
  }
}
