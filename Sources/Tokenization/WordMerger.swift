/// Byte-pair encoding of one word (Sennrich et al. 2016, section 3.2): of all neighbouring pairs, the one whose merge has the
/// lowest rank becomes one token, the leftmost first, until none is left.
///
/// Holds the memory of the work, so that words after the first allocate nothing.
struct WordMerger {
  /// Up to this many symbols, looking at all pairs each time beats a queue.
  private static let fewSymbols = 24

  private var tokens: [UInt32] = []
  private var merges: [MergeTable.Merge] = []
  private var previous: [Int32] = []
  private var next: [Int32] = []
  private var queue = MinimumHeap()

  /// Appends a word's tokens.
  ///
  /// - Parameter symbols: the tokens of the word's bytes.
  /// - Complexity: O(n log n).
  mutating func merge(_ symbols: [UInt32], with table: MergeTable, into result: inout [UInt32]) {
    tokens.removeAll(keepingCapacity: true)
    tokens.append(contentsOf: symbols)
    if tokens.count <= Self.fewSymbols {
      mergeFew(with: table)
    } else {
      mergeMany(with: table)
    }
    result.append(contentsOf: tokens)
  }

  /// Keeps the merge of each pair (`merges[i]` is that of `tokens[i]` and its right neighbour) and searches the best of them.
  private mutating func mergeFew(with table: MergeTable) {
    merges.removeAll(keepingCapacity: true)
    guard tokens.count > 1 else { return }
    for at in 0..<tokens.count - 1 { merges.append(table[tokens[at], tokens[at + 1]]) }
    while true {
      var best = MergeTable.Merge.none
      var at = 0
      for index in merges.indices where merges[index].rank < best.rank {
        best = merges[index]
        at = index
      }
      guard best.rank != .max else { return }
      tokens[at] = best.token
      tokens.remove(at: at + 1)
      merges.remove(at: at)
      if at > 0 { merges[at - 1] = table[tokens[at - 1], tokens[at]] }
      if at < merges.count { merges[at] = table[tokens[at], tokens[at + 1]] }
    }
  }

  /// The same with a queue of (rank, position) and a linked list. Queue entries are not removed when one of their tokens is
  /// merged with another; such an entry's pair has another rank, or none, when it comes up.
  private mutating func mergeMany(with table: MergeTable) {
    let count = Int32(tokens.count)
    previous.removeAll(keepingCapacity: true)
    next.removeAll(keepingCapacity: true)
    for at in 0..<count {
      previous.append(at - 1)
      next.append(at + 1 < count ? at + 1 : -1)
    }
    queue.removeAll()
    for at in 0..<tokens.count - 1 { push(at, at + 1, table) }
    while let (rank, at) = queue.popFirst() {
      let position = Int(at)
      let right = Int(next[position])
      guard right >= 0 else { continue }
      let merge = table[tokens[position], tokens[right]]
      guard merge.rank == rank else { continue }
      tokens[position] = merge.token
      let after = Int(next[right])
      next[position] = Int32(after)
      // The right half is no beginning of a pair any more.
      next[right] = -1
      previous[right] = -2
      if after >= 0 {
        previous[after] = Int32(position)
        push(position, after, table)
      }
      if previous[position] >= 0 { push(Int(previous[position]), position, table) }
    }
    var kept = 0
    for at in tokens.indices where previous[at] != -2 {
      tokens[kept] = tokens[at]
      kept += 1
    }
    tokens.removeLast(tokens.count - kept)
  }

  private mutating func push(_ left: Int, _ right: Int, _ table: MergeTable) {
    let rank = table[tokens[left], tokens[right]].rank
    if rank != .max { queue.insert(rank: rank, position: UInt32(left)) }
  }
}

/// A binary heap of (rank, position), the least first.
private struct MinimumHeap {
  private var entries: [UInt64] = []

  mutating func removeAll() { entries.removeAll(keepingCapacity: true) }

  mutating func insert(rank: UInt32, position: UInt32) {
    var at = entries.count
    let entry = UInt64(rank) << 32 | UInt64(position)
    entries.append(entry)
    while at > 0, case let parent = (at - 1) / 2, entries[parent] > entry {
      entries[at] = entries[parent]
      at = parent
    }
    entries[at] = entry
  }

  mutating func popFirst() -> (rank: UInt32, position: UInt32)? {
    guard let first = entries.first, let last = entries.popLast() else { return nil }
    var at = 0
    while case var child = 2 * at + 1, child < entries.count {
      if child + 1 < entries.count, entries[child + 1] < entries[child] { child += 1 }
      guard entries[child] < last else { break }
      entries[at] = entries[child]
      at = child
    }
    if !entries.isEmpty { entries[at] = last }
    return (UInt32(first >> 32), UInt32(truncatingIfNeeded: first))
  }
}
