import Kernels

/// One `add` of an ``AttentionAccumulator``: some queries over lists of blocks.
///
/// Each list is cut into windows of some 128 rows a head, and those into splits. Each split starts from nothing and is merged
/// behind what has been accumulated, in order. So a query's arithmetic depends on the splits alone, whether they come in one call or
/// in several and whichever way the work is cut:
/// - many queries: an item is a KV head and a tile of queries, and goes through the splits one after the other;
/// - few queries: an item is a split, and goes through its windows head by head, since the heads of a slab are
///   neighbours in memory: pages that are not cost a walk of the page table each.
///
/// Sendable by `@unchecked`: items touch disjoint rows of `sums` and `parts`, each participant its own scratch and runs, blocks are
/// read only, and `add` holds all of it until every item is done.
struct AttentionPass<Block: AttendedBlock>: @unchecked Sendable {
  let blocks: [Block]
  let cut: AttentionCut
  let queries: UnsafeMutablePointer<Float>
  /// Of all splits so far.
  let sums: RunningSums
  /// Of each split that does not go to `sums` (few queries), or of each participant's (many).
  let parts: [RunningSums]
  /// Splits that go to `sums` at once, because nothing is there yet: 1 or 0.
  let direct: Int
  let layout: QueryRows
  let firstQueryPosition: Int
  let tokensPerTile: Int
  let scratch: UnsafeMutablePointer<Float>
  let scratchStride: Int
  /// Room for two windows' runs of each participant.
  let runs: UnsafeMutablePointer<Block.Run>
  let mostRuns: Int

  private var splits: Int { cut.splitEnds.count }
  private var tiles: Int { (layout.tokens + tokensPerTile - 1) / tokensPerTile }

  /// Few queries: one split, all heads.
  func attend(split: Int, participant: Int) {
    let target = split < direct ? sums : parts[split - direct]
    if split >= direct { target.clear(layout.count, padded: layout.padded) }
    let heads = 0..<layout.shape.kvHeads
    walk(windows(of: split), heads, participant) { head in rows(head, tile: 0, target) }
  }

  /// Few queries, once every split is done.
  func merge() {
    for part in parts.prefix(splits - direct) {
      for head in 0..<layout.shape.kvHeads {
        merge(rows(head, tile: 0, part), into: rows(head, tile: 0, sums))
      }
    }
  }

  /// Many queries: one head, one tile, all splits.
  func attend(item: Int, participant: Int) {
    let (head, tile) = item.quotientAndRemainder(dividingBy: tiles)
    let all = rows(head, tile: tile, sums)
    if direct == 1 { walk(windows(of: 0), head..<head + 1, participant) { _ in all } }
    guard splits > direct else { return }
    let part = parts[participant].rows(like: all)
    for split in direct..<splits {
      parts[participant].clear(all.rows, padded: layout.padded)
      walk(windows(of: split), head..<head + 1, participant) { _ in part }
      merge(part, into: all)
    }
  }

  private func merge(_ part: lagoon_query_rows, into all: lagoon_query_rows) {
    withUnsafePointer(to: part) { part in withUnsafePointer(to: all) { lagoon_merge_attention($0, part) } }
  }

  private func windows(of split: Int) -> Range<Int> {
    (split == 0 ? 0 : cut.splitEnds[split - 1])..<cut.splitEnds[split]
  }

  /// Window by window, and in each head by head.
  private func walk(
    _ windows: Range<Int>, _ heads: Range<Int>, _ participant: Int, _ rows: (_ head: Int) -> lagoon_query_rows
  ) {
    let scratch = scratch + participant * scratchStride
    let base = runs + 2 * participant * mostRuns
    var current = found(windows.lowerBound, heads.lowerBound, at: base)
    for window in windows {
      for head in heads {
        let isLastHead = head + 1 == heads.upperBound
        let (nextWindow, nextHead) = isLastHead ? (window + 1, heads.lowerBound) : (window, head + 1)
        let free = current.baseAddress == base ? base + mostRuns : base
        let isLast = nextWindow == windows.upperBound
        let next =
          isLast ? UnsafeMutableBufferPointer(start: free, count: 0) : found(nextWindow, nextHead, at: free)
        if current.count > 0 {
          var rows = rows(head)
          let code = blocks[start(of: window)].code
          let isAlike = next.count > 0 && blocks[start(of: nextWindow)].code == code
          Block.attend(
            &rows, current, code: code,
            next: isAlike ? next : UnsafeMutableBufferPointer(start: nil, count: 0), scratch)
        }
        current = next
      }
    }
  }

  private func start(of window: Int) -> Int { window == 0 ? 0 : cut.windowEnds[window - 1] }

  /// The runs of a head in a window, written to `target`.
  private func found(
    _ window: Int, _ head: Int, at target: UnsafeMutablePointer<Block.Run>
  ) -> UnsafeMutableBufferPointer<Block.Run> {
    var count = 0
    for i in start(of: window)..<cut.windowEnds[window]
    where blocks[i].heads.contains(head) && blocks[i].rows > 0 {
      (target + count).initialize(to: blocks[i].run(head))
      count += 1
    }
    return UnsafeMutableBufferPointer(start: target, count: count)
  }

  private func rows(_ head: Int, tile: Int, _ sums: RunningSums) -> lagoon_query_rows {
    let firstToken = tile * tokensPerTile
    let group = layout.shape.group
    let first = head * layout.perHead + firstToken * group
    return sums.rows(
      queries + first * layout.padded, from: first,
      count: min(tokensPerTile * group, layout.perHead - firstToken * group), layout,
      firstPosition: firstQueryPosition + firstToken)
  }
}
