import StrictJSON

/// The tokens of a byte-level tokenizer: ids to bytes, and the strings of the file to ids.
struct Vocabulary: Sendable {
  /// One past the largest id.
  let size: Int
  /// The token of each single byte.
  let bytes: [UInt32?]
  /// Bytes of the longest token of the model's own.
  let longestToken: Int
  /// The model's own tokens as the file writes them.
  private let strings: ByteStringTable
  /// The id of each string of `strings`.
  private let ids: [UInt32]
  /// Bytes of all tokens in the order of their ids; those of `token` end at `ends[token]`.
  private let arena: [UInt8]
  private let ends: [Int]

  /// - Parameters:
  ///   - ids: the id of each string; no two are equal.
  ///   - added: stand for themselves, those that are special for nothing. Their ids are those of `strings` where they are in it,
  ///     and differ from all others.
  init(strings: ByteStringTable, ids: [UInt32], added: [AddedToken]) {
    self.strings = strings
    self.ids = ids
    let size = max(ids.max().map { Int($0) + 1 } ?? 0, added.map { Int($0.id) + 1 }.max() ?? 0)
    self.size = size
    /// What each id is: an index into `strings`, or one into `added` as its complement.
    var tokens = [Int?](repeating: nil, count: size)
    for (index, id) in ids.enumerated() { tokens[Int(id)] = index }
    for (index, token) in added.enumerated() { tokens[Int(token.id)] = ~index }
    var arena: [UInt8] = []
    var ends: [Int] = []
    ends.reserveCapacity(size)
    for token in tokens {
      if let index = token, index >= 0 {
        ByteAlphabet.appendBytes(of: strings[index], to: &arena)
      } else if let index = token, !added[~index].isSpecial {
        arena.append(contentsOf: added[~index].content)
      }
      ends.append(arena.count)
    }
    self.arena = arena
    self.ends = ends
    var longest = 0
    for index in ids.indices { longest = max(longest, strings[index].count) }
    longestToken = longest
    var written: [UInt8] = []
    bytes = (0..<256).map { byte in
      ByteAlphabet.string(of: [UInt8(byte)].span, into: &written)
      return strings.index(of: written.span).map { ids[$0] }
    }
  }

  /// The bytes of a token; none for special ones and ids that there are not.
  func bytes(of token: UInt32) -> ArraySlice<UInt8> {
    let index = Int(token)
    guard index < size else { return [] }
    return arena[(index == 0 ? 0 : ends[index - 1])..<ends[index]]
  }

  /// The id of one of the model's own tokens, as the file writes it.
  func id(of string: Span<UInt8>) -> UInt32? { strings.index(of: string).map { ids[$0] } }
}
