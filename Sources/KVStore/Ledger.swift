/// What a write transaction may cost, at worst.
struct WriteCost: Sendable, Hashable {
  /// Slabs written, new or again.
  var slabs = 0
  /// Slabs deleted.
  var deletions = 0
  /// Other records written or deleted.
  var records = 0

  static func + (a: WriteCost, b: WriteCost) -> WriteCost {
    WriteCost(
      slabs: a.slabs + b.slabs, deletions: a.deletions + b.deletions, records: a.records + b.records)
  }

  /// Pages of the worst case: the slabs; for every key a path through the tree, though no more than the tree has and its
  /// splits add; the list of freed pages that LMDB writes.
  func pages(treePages: Int) -> Int {
    let depth = 5
    let operations = slabs + deletions + records
    let touched = min(operations * depth, treePages + operations / 40 + 2 * depth)
    let freed = (slabs + deletions) * SlabShape.pages + touched
    return slabs * SlabShape.pages + touched + freed * 8 / SlabShape.pageBytes + 2 * depth
  }
}

/// Decides whether a transaction fits the quota, before LMDB would find out half way. Pure; counts in pages.
struct Ledger: Sendable {
  /// What the store holds, counted by LMDB inside the last transaction.
  struct Usage: Sendable, Hashable {
    var treePages = 0
    /// Pages of records that hold rows.
    var slabPages = 0
    /// Of other large records, and LMDB's own.
    var otherPages = 0
    var pages: Int { treePages + slabPages + otherPages + 2 }
  }

  let quotaPages: Int
  /// Pages of scratch files, outside of LMDB but on the same disk.
  var scratchPages = 0
  var usage: Usage
  /// Pages freed by recent transactions, oldest first: not reusable while a reader may see them, nor by the next
  /// transaction after.
  private(set) var recentlyFreed: [(transaction: UInt64, pages: Int)] = []

  init(quotaBytes: Int, usage: Usage) {
    quotaPages = quotaBytes / SlabShape.pageBytes
    self.usage = usage
  }

  /// Kept back so that a delete, which needs room before it frees any, always works; and for gaps between slabs.
  var reservePages: Int { 384 + quotaPages / 48 }

  /// Pages freed that the transaction after `last` cannot reuse.
  func pinned(oldestReader: UInt64, last: UInt64) -> Int {
    let limit = min(oldestReader, last)
    return recentlyFreed.reduce(0) { $1.transaction >= limit ? $0 + $1.pages : $0 }
  }

  /// Pages by which the transaction would pass the quota; 0 or less: it fits.
  ///
  /// - Parameter usingReserve: deletes may use what is kept back for them.
  func excess(of cost: WriteCost, oldestReader: UInt64, last: UInt64, usingReserve: Bool = false) -> Int {
    usage.pages + scratchPages + pinned(oldestReader: oldestReader, last: last)
      + cost.pages(treePages: usage.treePages)
      + (usingReserve ? 0 : reservePages) - quotaPages
  }

  /// Pages that commits write, as of lately.
  private var demand = 0
  /// Pages beyond a multiple of the demand that it took to keep the file from growing.
  private var slack = 0

  /// Slabs that are reclaimed beyond what is missing, so that not every commit has to.
  private static let spareSlabs = 16

  /// Notes what a commit wrote.
  ///
  /// - Parameter growth: pages by which the file grew although there was something to reclaim; nil: there was nothing.
  mutating func noteDemand(_ pages: Int, growth: Int?) {
    demand = max(pages, demand - demand / 8)
    slack = growth.map { slack + $0 } ?? 0
  }

  /// Slabs to reclaim for the next commits, so that the file does not grow: free pages should be some four times what a commit writes, since what the
  /// last two have freed cannot be reused yet and a slab takes neighbours. Not many more: LMDB takes those that have been free for
  /// longest, and pages that were used a moment ago are still in the CPU's caches.
  ///
  /// - Parameter filePages: all pages of the file.
  func missingSlabs(filePages: Int) -> Int {
    let missing = max(32 * SlabShape.pages, 4 * demand) + slack - (filePages - usage.pages)
    return missing <= 0 ? 0 : missing / SlabShape.pages + Self.spareSlabs
  }

  /// Notes a committed transaction.
  ///
  /// - Parameter written: pages that it wrote; what was in use before, plus these, less what is in use now, was freed.
  mutating func committed(
    _ transaction: UInt64, usage now: Usage, written: Int, oldestReader: UInt64
  ) {
    let freed = max(0, usage.pages + written - now.pages)
    usage = now
    recentlyFreed.append((transaction, freed))
    let limit = min(oldestReader, transaction)
    recentlyFreed.removeAll { $0.transaction < limit }
  }
}

extension Ledger.Usage {
  init(_ view: borrowing ReadTransaction) {
    self.init()
    otherPages = view.internalPages
    for database in Database.allCases {
      let size = view.size(database)
      treePages += size.treePages
      if database == .rows { slabPages = size.overflowPages } else { otherPages += size.overflowPages }
    }
  }
}
