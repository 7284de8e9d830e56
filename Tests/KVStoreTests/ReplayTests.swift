import Foundation
import KVStore
import LagKV
import SparseAttention
import TestSupport
import Testing

/// `stepAt`: committed tokens attend once more as they did when they were appended.
@Suite struct ReplayTests {
  static let document = AttentionTests.document
  static let tokens = AttentionTests.tokens

  private func replay(
    _ session: Session, _ tokens: Range<Int>, layer: Int, checked: Document? = nil,
    of document: Document = Self.document
  ) throws -> Attended {
    try Attended.collect(document.rows(.queries, layer: layer, tokens), document) {
      queries, out, lse in
      guard let checked else {
        try session.stepAt(layer: layer, first: tokens.lowerBound, queries: queries, out: out, logSumExp: lse)
        return tokens.upperBound
      }
      try checked.rows(.keys, layer: layer, tokens).view(tokens.count, checked.kvHeads, checked.headDim) {
        keys in
        try checked.rows(.values, layer: layer, tokens).view(tokens.count, checked.kvHeads, checked.headDim) {
          try session.stepAt(
            layer: layer, first: tokens.lowerBound, queries: queries, keys: keys, values: $0, out: out,
            logSumExp: lse)
        }
      }
      return tokens.upperBound
    }
  }

  /// The same bits, whatever the codec and element type and however the first pass and the replay are cut.
  @Test(arguments: [Codec.raw, .zstd], [ElementType.float32, .bfloat16])
  func givesTheBitsOfTheFirstPass(_ codec: Codec, _ type: ElementType) throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let session = try store.create(
      configuration(layers: 2, document: Self.document, type: type, archive: true, codec: codec))
    var generator = SeededGenerator(11)
    let first = try AttentionTests.steps(
      session, randomPieces(0..<Self.tokens, most: 40, &generator), layer: 1, commitEvery: 2)
    for cuts in [
      [0..<Self.tokens], pieces(0..<Self.tokens, 7), randomPieces(0..<Self.tokens, most: 30, &generator),
    ] {
      let again = try cuts.reversed().map { try replay(session, $0, layer: 1, checked: Self.document) }
      let joined = again.reversed().reduce(Attended(), +)
      #expect(joined.out == first.out)
      #expect(joined.logSumExp == first.logSumExp)
    }
  }

  /// The same where a partition is longer than a split of attention, and its slabs are no whole part of one (34 rows): the last slab is cut
  /// off where the chunk ended.
  @Test func givesTheBitsOfTheFirstPassInLongPartitions() throws {
    let document = Document(kvHeads: 3, headDim: 80, queryHeads: 3)
    let tokens = 0..<1300
    let fixture = StoreFixture()
    let store = try fixture.open()
    let session = try store.create(
      configuration(layers: 1, document: document, lag: 600, archive: true))
    let tail = try session.begin(capacity: tokens.count, owner: StagingAccount(cap: 1 << 30))
    var first = Attended()
    for cut in pieces(tokens, 1) { first = first + (try tail.step(document, cut, layer: 0)) }
    try tail.commit(tokenIDs: document.ids(tokens))
    let again = try replay(session, tokens, layer: 0, of: document)
    #expect(again.out == first.out)
    #expect(again.logSumExp == first.logSumExp)
  }

  /// Sinks are compared with the stored ones where they lie, also once the session was compressed; and tokens behind them that have left
  /// the window are refused for what they are.
  @Test func sinksOfACompressedSession() throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let session = try store.create(configuration(layers: 1, document: Self.document))
    try session.ingest(Self.document, pieces(0..<Self.tokens, 50))
    let before = try replay(session, 0..<4, layer: 0, checked: Self.document)
    #expect(try store.recode("book", to: .zstd))
    #expect(try replay(session, 0..<4, layer: 0, checked: Self.document) == before)
    #expect(store.statistics.quarantinedRecords == 0)
    #expect(code { _ = try replay(session, 0..<10, layer: 0) } == .invalidArgument)
  }

  @Test func recomputedRowsThatDifferAreRefused() throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let session = try store.create(configuration(layers: 1, document: Self.document, archive: true))
    try session.ingest(Self.document, pieces(0..<Self.tokens, 50))
    _ = try replay(session, 3..<90, layer: 0, checked: Self.document)
    var other = Self.document
    other.seed = 2
    for range in [0..<2, 30..<40, 140..<150] {
      let error = #expect(throws: StoreError.self) {
        try replay(session, range, layer: 0, checked: other)
      }
      #expect(error?.code == .recomputeMismatch)
      #expect(error?.token == range.lowerBound && error?.layer == 0 && error?.head == 0)
    }
  }

  /// Without an archive only what is still in the window can be replayed.
  @Test func withoutAnArchiveThePastIsRefused() throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let session = try store.create(configuration(layers: 1, document: Self.document))
    try session.ingest(Self.document, pieces(0..<Self.tokens, 50))
    let retention = session.configuration.retention
    let scored = (Self.tokens - retention.sinks) / retention.lag - 1
    let start = retention.sinks + (scored + 1) * retention.lag
    _ = try replay(session, start..<Self.tokens, layer: 0)
    let error = #expect(throws: StoreError.self) { try replay(session, start - 1..<Self.tokens, layer: 0) }
    #expect(error?.code == .invalidArgument && error?.message.contains("archive") == true)
  }

  @Test func tokensThatAreNotThereAreRefused() throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let session = try store.create(configuration(layers: 1, document: Self.document, archive: true))
    try session.ingest(Self.document, [0..<40])
    let queries = Self.document.rows(.queries, layer: 0, 0..<10)
    for first in [31, 40, -1, .max, .min] {
      let error = #expect(throws: StoreError.self) {
        try Attended.collect(queries, Self.document) { queries, out, lse in
          try session.stepAt(layer: 0, first: first, queries: queries, out: out, logSumExp: lse)
          return 0
        }
      }
      #expect(error?.code == .invalidArgument)
    }
    #expect(throws: StoreError.self) { try replay(session, 0..<10, layer: 1) }
  }
}
