import Foundation
import KVStore
import LagKV
import SparseAttention
import TestSupport
import Testing

/// What a commit writes must not grow with the session. Its time is measured by `lagoon-bench stream`.
@Suite struct LengthTests {
  static let document = Document(kvHeads: 2, headDim: 64, queryHeads: 2)
  static let layers = 4

  /// Rows that repeat every 4,096 tokens, so that making them costs nothing.
  struct Rows {
    let keys: [Float]
    let values: [Float]

    init() {
      keys = document.rows(.keys, layer: 0, 0..<4608)
      values = document.rows(.values, layer: 0, 0..<4608)
    }

    func append(_ tail: StagedTail, from start: Int, _ count: Int) throws {
      for layer in 0..<layers {
        let offset = (start + 997 * layer) % 4096 * 128
        try Array(keys[offset..<offset + count * 128]).view(count, 2, 64) { k in
          try Array(values[offset..<offset + count * 128]).view(count, 2, 64) {
            try tail.append(layer: layer, keys: k, values: $0)
          }
        }
      }
    }
  }

  /// Streams tokens in and counts the pages that 64 commits of 16 tokens write at each of the given lengths: eight
  /// partitions, so every phase of them.
  static func pages(at lengths: [Int], codec: Codec) throws -> [Int] {
    let fixture = StoreFixture()
    let store = try fixture.open(quota: 8 << 30, durability: .process)
    let session = try store.create(
      configuration(
        layers: layers, document: document, type: .bfloat16, sinks: 16, lag: 128, ratio: 0.25, codec: codec))
    let tail = try session.begin(capacity: 512, owner: StagingAccount(cap: 1 << 30))
    let rows = Rows()
    var tokens = 0
    var pages: [Int] = []
    for length in lengths {
      while tokens < length {
        let count = min(512, length - tokens)
        try rows.append(tail, from: tokens, count)
        try tail.commit(tokenIDs: document.ids(tokens..<tokens + count), keepWriting: true)
        tokens += count
      }
      let before = store.statistics.pagesWritten
      for _ in 0..<64 {
        try rows.append(tail, from: tokens, 16)
        try tail.commit(tokenIDs: document.ids(tokens..<tokens + 16), keepWriting: true)
        tokens += 16
      }
      pages.append(store.statistics.pagesWritten - before)
    }
    #expect(store.statistics.fileBytes < store.statistics.liveBytes * 104 / 100 + (4 << 20))
    return pages
  }

  /// Where the system does not count a thread's writes, pages are not counted exactly either.
  static let counts = FileManager.default.isReadableFile(atPath: "/proc/thread-self/io")

  @Test(.enabled(if: counts), arguments: Codec.allCases) func pagesOfACommitDoNotGrow(codec: Codec) throws {
    let pages = try Self.pages(at: [2_000, 20_000], codec: codec)
    // 64 commits write at least a window slab of each layer; the tree may be a level deeper.
    #expect(pages[0] >= 64 * 4 * 17)
    #expect(pages[1] - pages[0] <= 64 * 2)
  }

  #if DEBUG
    static let optimised = false
  #else
    static let optimised = true
  #endif

  @Test(
    .enabled(if: longTests && counts && optimised, "long: make test-long, on the release build"),
    arguments: Codec.allCases)
  func aMillionTokens(codec: Codec) throws {
    let pages = try Self.pages(at: [10_000, 100_000, 1_000_000], codec: codec)
    for (length, pages) in zip(["10⁴", "10⁵", "10⁶"], pages) {
      print("\(codec.name), \(length) tokens: \(Double(pages) / 64) pages a commit")
    }
    #expect(pages[2] - pages[0] <= 64 * 3)
  }
}
