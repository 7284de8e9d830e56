/// The merges of byte-pair encoding: two neighbouring tokens to the merge's rank and the token they become.
///
/// An open-addressing hash table, at most half full. Its hash is seeded, so a file cannot choose pairs that collide.
struct MergeTable: Sendable {
  /// A merge; the lowest rank comes first.
  struct Merge: Hashable, Sendable {
    var rank: UInt32
    var token: UInt32

    static let none = Merge(rank: .max, token: 0)
  }

  private struct Slot {
    var pair: UInt64
    var merge: Merge
  }

  private static let free = UInt64.max

  private var slots: [Slot]
  private let shift: UInt64
  private let seed = UInt64.random(in: .min ... .max)

  /// A table for `count` merges.
  init(count: Int) {
    var bits: UInt64 = 4
    while 1 << bits < 2 * count { bits += 1 }
    shift = 64 - bits
    slots = Array(repeating: Slot(pair: Self.free, merge: .none), count: 1 << bits)
  }

  private func find(_ pair: UInt64) -> Int {
    // Folds the whole product, whose high half depends on every bit of the pair.
    let product = (pair ^ seed).multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
    let hash = (product.high ^ product.low) &* 0xD6E8_FEB8_6659_FD93
    var at = Int(truncatingIfNeeded: hash >> shift)
    while slots[at].pair != pair, slots[at].pair != Self.free { at = (at + 1) & (slots.count - 1) }
    return at
  }

  private static func pair(_ left: UInt32, _ right: UInt32) -> UInt64 { UInt64(left) << 32 | UInt64(right) }

  /// The merge of two tokens; `.none` when they do not merge.
  subscript(left: UInt32, right: UInt32) -> Merge { slots[find(Self.pair(left, right))].merge }

  /// Adds a merge; the last one of a pair counts. At most as many as the table was made for.
  mutating func insert(_ left: UInt32, _ right: UInt32, _ merge: Merge) {
    let pair = Self.pair(left, right)
    slots[find(pair)] = Slot(pair: pair, merge: merge)
  }
}
