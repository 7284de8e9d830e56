/// The normaliser's rules inside a SentencePiece model (`normalizer_spec.precompiled_charsmap`), checked.
///
/// Layout, little-endian: the trie's size in bytes (`uint32`), the trie (a darts-clone double array of `uint32` units), then
/// replacements, each with a terminating zero. The library follows the trie without looking at its size, collects at most 32
/// matches into an array on the stack but reads as many as it counted, and takes a match's value as an offset into the
/// replacements. So everything that some text could make it reach is walked here first.
struct SentencePieceCharsmap {
  /// The largest trie: 20 times that of NFKC.
  static let maximumTrieBytes = 4 << 20
  /// Rules of which one is a prefix of the next: the size of the library's array.
  static let maximumNestedRules = 32
  /// The longest replacement in bytes. NFKC's longest has 33; the library's buffers grow by this factor.
  static let maximumReplacement = 256

  /// The longest replacement found, in bytes.
  private(set) var longestReplacement = 0
  /// The bytes that some rule's source ends in.
  private(set) var lastBytes = ByteSet()
  /// Whether some rule's source has a space: alone, first or further on.
  private(set) var mentionsSpace = false

  private let bytes: [UInt8]
  private let trieStart: Int
  private let unitCount: Int
  private let replacements: Range<Int>

  /// - Parameters:
  ///   - bytes: the model.
  ///   - range: the blob within it.
  /// - Throws: `malformed`, with the byte offset in the model.
  init(_ bytes: [UInt8], _ range: Range<Int>) throws(TokenizerError) {
    guard range.count > 4 else { throw Self.failure("\(range.count) bytes", at: range.lowerBound) }
    let trieBytes = Int(Self.littleEndian(bytes, at: range.lowerBound))
    guard trieBytes % 4 == 0, trieBytes >= 1024, trieBytes <= min(Self.maximumTrieBytes, range.count - 5)
    else {
      throw Self.failure("a trie of \(trieBytes) bytes in \(range.count)", at: range.lowerBound)
    }
    self.bytes = bytes
    trieStart = range.lowerBound + 4
    unitCount = trieBytes / 4
    replacements = trieStart + trieBytes..<range.upperBound
    guard bytes[replacements.upperBound - 1] == 0 else {
      throw Self.failure("the last replacement has no end", at: replacements.upperBound - 1)
    }
    try walk()
  }

  /// One node on the path being walked. A node is known by the place its children's labels are added to.
  private struct Visit {
    let base: Int
    var nextLabel = 0
    /// The most rules that end on any path below.
    var nested = 0
    /// Whether a rule ends at the node itself.
    let endsRule: Bool
  }

  /// Follows every path from the root. Nodes may share children (the trie is a minimised automaton), so what lies below a
  /// base is computed once; a path that comes back to itself would match without end.
  private mutating func walk() throws(TokenizerError) {
    let unknown: Int32 = -1
    let open: Int32 = -2
    var nestedBelow = [Int32](repeating: unknown, count: unitCount)
    var path = [Visit(base: try base(of: 0), endsRule: false)]
    nestedBelow[path[0].base] = open

    while var visit = path.popLast() {
      if visit.nextLabel > 0xFF {
        nestedBelow[visit.base] = Int32(visit.nested)
        if var parent = path.popLast() {
          parent.nested = max(parent.nested, visit.nested + (visit.endsRule ? 1 : 0))
          path.append(parent)
        }
        if visit.nested > Self.maximumNestedRules {
          throw Self.failure("\(visit.nested) rules begin with each other", at: trieStart)
        }
        continue
      }
      let label = UInt8(visit.nextLabel)
      visit.nextLabel += 1
      let node = visit.base ^ Int(label)
      let unit = unit(node)
      guard unit & 0x8000_00FF == UInt32(label) else {
        path.append(visit)
        continue
      }
      let childBase = try base(of: node)
      let endsRule = unit >> 8 & 1 == 1
      mentionsSpace = mentionsSpace || label == 0x20
      if endsRule {
        lastBytes.insert(label)
        try checkReplacement(at: Int(self.unit(childBase) & 0x7FFF_FFFF))
      }
      switch nestedBelow[childBase] {
      case open: throw Self.failure("the trie has a cycle", at: trieStart + 4 * node)
      case unknown:
        nestedBelow[childBase] = open
        path.append(visit)
        path.append(Visit(base: childBase, endsRule: endsRule))
      default:
        visit.nested = max(visit.nested, Int(nestedBelow[childBase]) + (endsRule ? 1 : 0))
        path.append(visit)
      }
    }
  }

  /// Where a node's children begin; every label stays inside the trie. `DoubleArrayUnit::offset` of darts-clone.
  private func base(of node: Int) throws(TokenizerError) -> Int {
    let unit = unit(node)
    let base = node ^ Int((unit >> 10) << ((unit & 0x200) >> 6))
    guard base | 0xFF < unitCount else {
      throw Self.failure("a node's children lie outside of the trie", at: trieStart + 4 * node)
    }
    return base
  }

  private mutating func checkReplacement(at offset: Int) throws(TokenizerError) {
    guard offset < replacements.count else {
      throw Self.failure(
        "a rule's replacement lies at \(offset) of \(replacements.count)", at: replacements.lowerBound)
    }
    let start = replacements.lowerBound + offset
    guard let end = bytes[start...].prefix(Self.maximumReplacement + 1).firstIndex(of: 0) else {
      throw Self.failure("a replacement has more than \(Self.maximumReplacement) bytes", at: start)
    }
    longestReplacement = max(longestReplacement, end - start)
  }

  private func unit(_ index: Int) -> UInt32 { Self.littleEndian(bytes, at: trieStart + 4 * index) }

  private static func littleEndian(_ bytes: [UInt8], at offset: Int) -> UInt32 {
    (0..<4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << UInt32(8 * $1) }
  }

  private static func failure(_ message: String, at offset: Int) -> TokenizerError {
    TokenizerError(.malformed, "\(message), at byte \(offset)", name: "normalizer_spec.precompiled_charsmap")
  }
}
