/// Byte strings, each with an index in order of insertion. Equal means equal bytes.
///
/// An open-addressing hash table over one arena. The hash is the standard library's, seeded anew in every process, so a file
/// cannot choose strings that collide.
package struct ByteStringTable: Sendable {
  /// Below this many strings they are compared one by one.
  private static let smallest = 8

  private var arena: [UInt8] = []
  private var ends: [Int] = []
  /// Index + 1 of a string, 0 for a free slot. Empty while the table is small; then a power of two, at most half full.
  private var slots: [UInt32] = []

  package init() {}

  package var count: Int { ends.count }

  /// The string of an index.
  package subscript(index: Int) -> ArraySlice<UInt8> { arena[range(of: index)] }

  /// Where the string of an index lies in the arena.
  private func range(of index: Int) -> Range<Int> { (index == 0 ? 0 : ends[index - 1])..<ends[index] }

  package func index(of string: Span<UInt8>) -> Int? { find(string).index }

  /// Adds a string.
  ///
  /// - Returns: its index, and whether it was not there before.
  @discardableResult
  package mutating func insert(_ string: Span<UInt8>) -> (index: Int, isNew: Bool) {
    if ends.count >= Self.smallest, 2 * (ends.count + 1) > slots.count { grow() }
    let (found, slot) = find(string)
    if let found { return (found, false) }
    let index = ends.count
    for at in string.indices { arena.append(string[at]) }
    ends.append(arena.count)
    if let slot { slots[slot] = UInt32(index + 1) }
    return (index, true)
  }

  /// The string's index, or the free slot where it belongs (nil while the table is small).
  private func find(_ string: Span<UInt8>) -> (index: Int?, slot: Int?) {
    guard !slots.isEmpty else {
      return ((0..<ends.count).first { equals(string, $0) }, nil)
    }
    let mask = slots.count - 1
    var slot = Self.hash(string) & mask
    while slots[slot] != 0 {
      let index = Int(slots[slot]) - 1
      if equals(string, index) { return (index, nil) }
      slot = (slot + 1) & mask
    }
    return (nil, slot)
  }

  private func equals(_ string: Span<UInt8>, _ index: Int) -> Bool {
    let range = range(of: index)
    guard range.count == string.count else { return false }
    for at in 0..<string.count where string[at] != arena[range.lowerBound + at] { return false }
    return true
  }

  private mutating func grow() {
    slots = Array(repeating: 0, count: max(4 * Self.smallest, 2 * slots.count))
    let mask = slots.count - 1
    for index in ends.indices {
      var slot = Self.hash(arena.span.extracting(range(of: index))) & mask
      while slots[slot] != 0 { slot = (slot + 1) & mask }
      slots[slot] = UInt32(index + 1)
    }
  }

  private static func hash(_ string: Span<UInt8>) -> Int {
    var hasher = Hasher()
    // SAFETY: the pointer is used inside of the closure only.
    string.withUnsafeBytes { hasher.combine(bytes: $0) }
    return hasher.finalize()
  }
}
