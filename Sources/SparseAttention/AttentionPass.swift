import Kernels

/// One `add` of an ``AttentionAccumulator``: some queries over lists of blocks.
///
/// Each list is cut into splits of some 512 rows a head. Each split starts from nothing and is merged behind what has been
/// accumulated, in order. So a query's arithmetic depends on the splits alone, whether they come in one call or in several and
/// whichever way the work is cut:
/// - many queries: an item is a KV head and a tile of queries, and goes through the splits one after the other;
/// - few queries: an item is a split and some of the heads, which it goes through window by window, in each head after head, since the
///   heads of a slab are neighbours in memory: pages that are not cost a walk of the page table each.
///
/// Sendable by `@unchecked`: items touch disjoint rows of `sums` and `parts`, each participant its own scratch and runs, blocks are
/// read only, and `add` holds all of it until every item is done.
struct AttentionPass<Block: AttendedBlock>: @unchecked Sendable {
  let blocks: [Block]
  let cut: AttentionCut
  /// Those that this pass goes through.
  let splits: Range<Int>
  let queries: PackedQueries
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
    walk(split, heads, participant, next: self.part(item + participants)) { head in
      rows(head, tile: 0, target)
    }
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

  /// One head's rows of a window: what a call of the kernel reads.
  private struct Visit {
    let split: Int
    let heads: Range<Int>
    var window: Range<Int>
    var head: Int
  }

  private func firstVisit(_ split: Int, _ heads: Range<Int>) -> Visit {
    let window = self.window(from: cut[split].lowerBound, split, heads)
    return Visit(split: split, heads: heads, window: window, head: heads.lowerBound)
  }

  /// The next head of the window, or the first one of the next window; nil: the split is done.
  private func visit(after last: Visit) -> Visit? {
    var next = last
    next.head += 1
    if next.head < last.heads.upperBound { return next }
    next.head = last.heads.lowerBound
    next.window = window(from: last.window.upperBound, last.split, last.heads)
    return next.window.isEmpty ? nil : next
  }

  /// A split, window by window, in each head after head.
  ///
  /// - Parameter next: what this thread probably goes on with.
  private func walk(
    _ split: Int, _ heads: Range<Int>, _ participant: Int,
    next following: (split: Int, heads: Range<Int>)? = nil,
    _ rows: (_ head: Int) -> lagoon_query_rows
  ) {
    let scratch = scratch + participant * scratchStride
    let base = runs + 2 * participant * mostRuns
    let code = blocks[cut[split].lowerBound].code
    let first = firstVisit(split, heads)
    var place: Visit? = first
    var current = found(first, at: base)
    while let here = place {
      place = visit(after: here)
      let free = current.baseAddress == base ? base + mostRuns : base
      var next = UnsafeMutableBufferPointer(start: free, count: 0)
      if let ahead = place ?? following.map(firstVisit), blocks[ahead.window.lowerBound].code == code {
        next = found(ahead, at: free)
      }
      if current.count > 0 {
        var rows = rows(here.head)
        Block.attend(&rows, current, code: code, next: next, scratch)
      }
      current = next
    }
  }

  /// Blocks of a split from `start` on that are gone through together by all of `heads`: pages that are neighbours in a slab are read
  /// soon after each other. Whole tiles of the kernel, so that only the order of reading depends on it: how many heads an item has
  /// depends on the threads. Empty behind the split's last.
  private func window(from start: Int, _ split: Int, _ heads: Range<Int>) -> Range<Int> {
    let end = cut[split].upperBound
    guard heads.count > 1 else { return start..<end }
    var (rows, inTile) = (0, 0)
    for i in start..<end {
      let block = blocks[i]
      if i > start, !block.continues(blocks[i - 1]) { inTile = 0 }
      guard block.heads.lowerBound <= heads.lowerBound, block.heads.upperBound >= heads.upperBound else {
        break
      }
      rows += block.rows
      inTile = (inTile + block.rows) % Int(LAGOON_KEY_TILE)
      if rows >= AttentionCut.windowRows, inTile == 0 { return start..<i + 1 }
    }
    return start..<end
  }

  /// The runs of a visit, written to `target`.
  private func found(
    _ visit: Visit, at target: UnsafeMutablePointer<Block.Run>
  ) -> UnsafeMutableBufferPointer<Block.Run> {
    var count = 0
    for i in visit.window where blocks[i].heads.contains(visit.head) && blocks[i].rows > 0 {
      (target + count).initialize(to: blocks[i].run(visit.head))
      count += 1
    }
    return UnsafeMutableBufferPointer(start: target, count: count)
  }

  private func rows(_ head: Int, tile: Int, _ sums: RunningSums) -> lagoon_query_rows {
    let firstToken = tile * tokensPerTile
    let group = layout.shape.group
    let first = head * layout.perHead + firstToken * group
    return sums.rows(
      queries, from: first,
      count: min(tokensPerTile * group, layout.perHead - firstToken * group), layout,
      firstPosition: firstQueryPosition + firstToken)
  }
}
