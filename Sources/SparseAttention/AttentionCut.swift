/// Where lists of blocks, one behind the other, are cut into windows, and those into splits.
struct AttentionCut: Sendable {
  /// Ends of the windows, in blocks.
  private(set) var windowEnds: [Int] = []
  /// Ends of the splits, in windows.
  private(set) var splitEnds: [Int] = []
  /// Blocks of the largest window.
  private(set) var mostBlocks = 0

  /// Rows of a head in a window: two tiles of the kernel.
  private static let windowRows = 128
  /// Enough to make little of a merge, few enough that the cores finish together.
  private static let windowsPerSplit = 4

  /// Blocks of a head in a split, where each but the last has `rows` rows.
  static func blocksPerSplit(rows: Int) -> Int { windowsPerSplit * max(1, windowRows / max(1, rows)) }

  /// Windows are as many blocks of one code as stay within the rows of a window, or one. Rows are counted in the first block's
  /// first head; the blocks of other heads go along. No window and no split crosses the end of a list.
  init<Block: AttendedBlock>(_ lists: [[Block]]) {
    let blocks = lists.reduce(0) { $0 + $1.count }
    windowEnds.reserveCapacity(blocks)
    splitEnds.reserveCapacity(blocks)
    var first = 0
    for blocks in lists {
      guard let head = blocks.first?.heads.lowerBound else { continue }
      let before = windowEnds.count
      var rows = 0
      for (i, block) in blocks.enumerated() {
        let counts = block.heads.contains(head)
        let isOtherType = i > 0 && block.code != blocks[i - 1].code
        if isOtherType || counts && rows > 0 && rows + block.rows > Self.windowRows {
          end(first + i)
          rows = 0
        }
        if counts { rows += block.rows }
      }
      first += blocks.count
      end(first)
      for window in stride(from: before, to: windowEnds.count, by: Self.windowsPerSplit) {
        splitEnds.append(min(windowEnds.count, window + Self.windowsPerSplit))
      }
    }
  }

  private mutating func end(_ block: Int) {
    mostBlocks = max(mostBlocks, block - (windowEnds.last ?? 0))
    windowEnds.append(block)
  }
}
