import TestSupport
import Testing
import Tokenization

/// The normaliser's trie, which the library follows without bounds.
@Suite struct SentencePieceCharsmapTests {
  /// A double array of darts-clone by hand: a unit is its label, a leaf flag (bit 8) and the distance to its children
  /// (from bit 10); a leaf's value has bit 31.
  private struct Trie {
    var units = [UInt32](repeating: 0x8000_0000, count: 512)

    /// Children of `node` stand at `base ^ label`.
    mutating func node(_ node: Int, label: UInt8, base: Int, isLeaf: Bool = false, value: UInt32 = 0) {
      units[node] = UInt32(label) | (isLeaf ? 0x100 : 0) | UInt32(node ^ base) << 10
      if isLeaf { units[base] = 0x8000_0000 | value }
    }

    func charsmap(_ replacements: [UInt8] = [0x7A, 0], size: Int? = nil) -> [UInt8] {
      let bytes = units.flatMap { unit in (0..<4).map { UInt8(truncatingIfNeeded: unit >> (8 * $0)) } }
      let count = size ?? bytes.count
      return (0..<4).map { UInt8(truncatingIfNeeded: count >> (8 * $0)) } + bytes + replacements
    }
  }

  private func model(_ charsmap: [UInt8]) -> [UInt8] {
    ModelBytes.model(
      [ModelBytes.piece("a"), ModelBytes.piece("z")],
      normalizer: ModelBytes.integer(3, 0) + ModelBytes.integer(4, 0) + ModelBytes.field(2, charsmap))
  }

  private func refusal(_ charsmap: [UInt8]) -> TokenizerError? {
    #expect(throws: TokenizerError.self) { try SentencePieceTokenizer(model: model(charsmap)) }
  }

  /// One rule: `a` becomes `z`.
  private var small: Trie {
    var trie = Trie()
    trie.node(0, label: 0, base: 0x100)
    trie.node(0x161, label: 0x61, base: 0xE0, isLeaf: true)
    return trie
  }

  @Test func aRuleByHandIsApplied() throws {
    let tokenizer = try SentencePieceTokenizer(model: model(small.charsmap()))
    #expect(try tokenizer.encode(Array("az".utf8), isBeginning: false) == [4, 4])
  }

  @Test func aTrieIsAsLargeAsItSays() {
    #expect(refusal([1, 2, 3])?.code == .malformed)
    for size in [0, 4, 2047, 2049, 2050, 1 << 31] {
      #expect(refusal(small.charsmap(size: size))?.code == .malformed)
    }
    #expect(refusal(small.charsmap([]))?.code == .malformed)
    #expect(refusal(small.charsmap([0x7A]))?.message.contains("no end") == true)
  }

  @Test func nodesStayInsideTheTrie() {
    var trie = small
    trie.node(0x161, label: 0x61, base: 0x200)
    #expect(refusal(trie.charsmap())?.message.contains("outside") == true)
    trie = small
    trie.node(0, label: 0, base: 1 << 20)
    #expect(refusal(trie.charsmap())?.message.contains("outside") == true)
  }

  @Test func aCycleIsRefused() {
    var trie = small
    trie.node(0x161, label: 0x61, base: 0x100)
    #expect(refusal(trie.charsmap())?.message.contains("cycle") == true)
  }

  @Test func replacementsStayInsideTheirBlob() {
    var trie = small
    trie.node(0x161, label: 0x61, base: 0xE0, isLeaf: true, value: 2)
    #expect(refusal(trie.charsmap())?.message.contains("lies at 2 of 2") == true)
    let long = [UInt8](repeating: 0x7A, count: 257) + [0]
    #expect(refusal(small.charsmap(long))?.message.contains("more than 256") == true)
  }

  /// A chain of rules a, aa, aaa, ...: the library has room for 32 matches.
  private func chain(_ count: Int) -> Trie {
    var trie = Trie()
    trie.units = [UInt32](repeating: 0x8000_0000, count: 256 * (count + 2))
    trie.node(0, label: 0, base: 256)
    for rule in 1...count {
      trie.node(256 * rule ^ 0x61, label: 0x61, base: 256 * (rule + 1), isLeaf: true)
    }
    return trie
  }

  @Test func rulesThatBeginWithEachOtherAreCounted() throws {
    let tokenizer = try SentencePieceTokenizer(model: model(chain(32).charsmap()))
    #expect(try tokenizer.encode([UInt8](repeating: 0x61, count: 64), isBeginning: false) == [4, 4])
    #expect(refusal(chain(33).charsmap())?.message.contains("33 rules") == true)
  }

  @Test func randomTriesAreSurvived() {
    var random = SeededGenerator(5)
    var loaded = 0
    for _ in 0..<2_000 * SentencePieceFixtures.effort {
      var trie = chain(Int.random(in: 1...6, using: &random))
      for _ in 0..<Int.random(in: 1...20, using: &random) {
        let node = Int.random(in: trie.units.indices, using: &random)
        trie.units[node] =
          UInt32.random(in: 0...UInt32.max, using: &random) & (random.next() % 2 == 0 ? 0x3FFFF : .max)
      }
      let bytes = model(trie.charsmap(Array("z\0yy\0".utf8)))
      guard let tokenizer = try? SentencePieceTokenizer(model: bytes) else { continue }
      loaded += 1
      _ = try? tokenizer.encode(
        (0..<400).map { _ in UInt8.random(in: 0...127, using: &random) }, isBeginning: true)
    }
    #expect(loaded > 100)
  }
}
