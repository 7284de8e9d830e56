/// Where lists of blocks, one behind the other, are cut into splits.
struct AttentionCut: Sendable {
  /// Ends of the splits, in blocks.
  private(set) var ends: [Int] = []
  /// Blocks of the largest split.
  private(set) var mostBlocks = 0

  /// Rows of a head in a split: enough to make little of a merge and of a page's end, few enough that a page is near when another
  /// head's rows in the same slab are read.
  private static let rows = 512

  /// Rows of a head in a window of a split, at least.
  static let windowRows = 128

  /// Blocks of a head in a split, where each but the last has `rows` rows.
  static func blocksPerSplit(rows: Int) -> Int { max(1, Self.rows / max(1, rows)) }

  /// Splits are as many blocks of one code as stay within the rows of a split, or one. Rows are counted in the first block's
  /// first head; the blocks of other heads go along. A block counts for no less than the list's first one: its last may grow, and splits
  /// must stay where they are. No split crosses the end of a list.
  init<Block: AttendedBlock>(_ lists: [[Block]]) {
    ends.reserveCapacity(lists.reduce(0) { $0 + $1.count })
    var first = 0
    for blocks in lists {
      guard let start = blocks.first else { continue }
      var rows = 0
      for (i, block) in blocks.enumerated() {
        let isCounted = block.heads.contains(start.heads.lowerBound)
        let count = max(block.rows, start.rows)
        let isOtherType = i > 0 && block.code != blocks[i - 1].code
        if isOtherType || isCounted && rows > 0 && rows + count > Self.rows {
          end(first + i)
          rows = 0
        }
        if isCounted { rows += count }
      }
      first += blocks.count
      end(first)
    }
  }

  private mutating func end(_ block: Int) {
    mostBlocks = max(mostBlocks, block - (ends.last ?? 0))
    ends.append(block)
  }

  var count: Int { ends.count }

  subscript(split: Int) -> Range<Int> { (split == 0 ? 0 : ends[split - 1])..<ends[split] }
}
