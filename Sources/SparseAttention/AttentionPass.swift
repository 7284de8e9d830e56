import Kernels

/// One `add` of an ``AttentionAccumulator``: some queries over lists of blocks.
///
/// Each list is cut into splits of some 512 rows a head. Each split starts from nothing and is merged behind what has been
/// accumulated, in order. So a query's arithmetic depends on the splits alone, whether they come in one call or in several and
/// whichever way the work is cut:
/// - many queries: an item is a KV head and a tile of queries, and goes through the splits one after the other;
/// - few queries: an item is a split and some of the heads, which it goes through one after the other, since the heads of a slab are
///   neighbours in memory: pages that are not cost a walk of the page table each.
///
/// Sendable by `@unchecked`: items touch disjoint rows of `sums` and `parts`, each participant its own scratch and runs, blocks are
/// read only, and `add` holds all of it until every item is done.
struct AttentionPass<Block: AttendedBlock>: @unchecked Sendable {
  let blocks: [Block]
  let cut: AttentionCut
  /// Those that this pass goes through.
  let splits: Range<Int>
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
  /// KV heads of an item (few queries).
  let headsPerItem: Int
  /// Threads that take items.
  let participants: Int
  let scratch: UnsafeMutablePointer<Float>
  let scratchStride: Int
  /// Room for two splits' runs of each participant.
  let runs: UnsafeMutablePointer<Block.Run>
  let mostRuns: Int

  private var tiles: Int { (layout.tokens + tokensPerTile - 1) / tokensPerTile }
  private var groups: Int { (layout.shape.kvHeads + headsPerItem - 1) / headsPerItem }

  /// The split and the heads of an item (few queries); nil: there is none.
  private func part(_ item: Int) -> (split: Int, heads: Range<Int>)? {
    let (index, group) = item.quotientAndRemainder(dividingBy: groups)
    let heads = group * headsPerItem..<min((group + 1) * headsPerItem, layout.shape.kvHeads)
    return index < splits.count ? (splits.lowerBound + index, heads) : nil
  }

  /// Few queries: one split, some heads.
  func attend(splitItem item: Int, participant: Int) {
    guard let (split, heads) = part(item) else { return }
    let part = split - splits.lowerBound - direct
    let target = part < 0 ? sums : parts[part]
    if part >= 0 { target.clear(heads, layout) }
    // Threads take items in turns, so this is probably the one that this thread takes next.
    let next = self.part(item + participants).map { ($0.split, $0.heads.lowerBound) }
    walk(split, heads, participant, next: next) { head in rows(head, tile: 0, target) }
  }

  /// Few queries, once every split is done.
  func merge() {
    for part in parts.prefix(splits.count - direct) {
      for head in 0..<layout.shape.kvHeads {
        merge(rows(head, tile: 0, part), into: rows(head, tile: 0, sums))
      }
    }
  }

  /// Many queries: one head, one tile, all splits.
  func attend(tileItem item: Int, participant: Int) {
    let (head, tile) = item.quotientAndRemainder(dividingBy: tiles)
    let all = rows(head, tile: tile, sums)
    if direct == 1 { walk(splits.lowerBound, head..<head + 1, participant) { _ in all } }
    guard splits.count > direct else { return }
    let part = parts[participant].rows(like: all)
    for split in splits.dropFirst(direct) {
      parts[participant].clear(all.rows, padded: layout.padded)
      walk(split, head..<head + 1, participant) { _ in part }
      merge(part, into: all)
    }
  }

  private func merge(_ part: lagoon_query_rows, into all: lagoon_query_rows) {
    withUnsafePointer(to: part) { part in withUnsafePointer(to: all) { lagoon_merge_attention($0, part) } }
  }

  /// A split, head by head.
  ///
  /// - Parameter next: what this thread probably goes on with.
  private func walk(
    _ split: Int, _ heads: Range<Int>, _ participant: Int, next following: (split: Int, head: Int)? = nil,
    _ rows: (_ head: Int) -> lagoon_query_rows
  ) {
    let scratch = scratch + participant * scratchStride
    let base = runs + 2 * participant * mostRuns
    let code = blocks[cut[split].lowerBound].code
    var current = found(split, heads.lowerBound, at: base)
    for head in heads {
      let free = current.baseAddress == base ? base + mostRuns : base
      let after = head + 1 == heads.upperBound ? following : (split, head + 1)
      let isAlike = after.map { blocks[cut[$0.split].lowerBound].code == code } ?? false
      let next =
        if let after, isAlike { found(after.split, after.head, at: free) } else {
          UnsafeMutableBufferPointer(start: free, count: 0)
        }
      if current.count > 0 {
        var rows = rows(head)
        Block.attend(&rows, current, code: code, next: next, scratch)
      }
      current = next
    }
  }

  /// The runs of a head in a split, written to `target`.
  private func found(
    _ split: Int, _ head: Int, at target: UnsafeMutablePointer<Block.Run>
  ) -> UnsafeMutableBufferPointer<Block.Run> {
    var count = 0
    for i in cut[split] where blocks[i].heads.contains(head) && blocks[i].rows > 0 {
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
