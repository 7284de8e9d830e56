import Foundation
import KVStore
import LagKV
import SparseAttention
import Testing

/// Sessions: made, opened, written by one, committed all or nothing, deleted.
@Suite struct SessionTests {
  static let document = Document(kvHeads: 2, headDim: 16, queryHeads: 2)
  static let account = StagingAccount(cap: 1 << 30)

  @Test func createOpenListDelete() throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let fingerprint = ModelFingerprint(bytes: (0..<32).map { UInt8($0) })!
    let other = ModelFingerprint(bytes: (1..<33).map { UInt8($0) })!
    let c = try SessionConfiguration(
      name: "Größe/日本", layers: 3, kvHeads: 2, headDim: 16, elementType: .float16,
      retention: RetentionParameters(
        policy: .random, sinks: 5, lag: 17, ratio: 0.3, valueWeight: 0.5, seed: 99, exemptLayers: [0, 2]),
      archive: true, codec: .zstd, fingerprint: fingerprint)
    let session = try store.create(c)
    #expect(code { _ = try store.create(c) } == .alreadyExists)
    _ = try store.create(configuration("b", document: Self.document))
    _ = try store.create(configuration("a", document: Self.document))
    #expect(
      try store.sessions().map(\.configuration.name)
        == ["Größe/日本", "a", "b"].sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) })
    #expect(try store.describe(c.name).0.configuration == c)
    #expect(try store.open(c.name, expecting: .init(fingerprint: fingerprint)).configuration == c)
    #expect(try store.open(c.name, expecting: .init(fingerprint: ModelFingerprint.none)).configuration == c)
    #expect(code { _ = try store.open(c.name, expecting: .init(fingerprint: other)) } == .otherModel)
    #expect(code { _ = try store.open("c", expecting: .init()) } == .notFound)
    try session.ingest(Self.document, [0..<50])
    let hash = TokenHash.extend(0, with: Self.document.ids(0..<50))
    _ = try store.open(c.name, expecting: .init(prefix: (50, hash)))
    _ = try store.open(c.name, expecting: .init(prefix: (49, hash)))
    #expect(code { _ = try store.open(c.name, expecting: .init(prefix: (50, hash ^ 1))) } == .otherText)
    let state = try session.state()
    #expect(state.tokens == 50 && state.generation == 1 && state.tokenHash == hash && !state.hasWriter)
    let (described, layers) = try store.describe(c.name)
    #expect(described == state && layers.reduce(0) { $0 + $1.storedBytes } == state.storedBytes)
    try store.delete(c.name)
    #expect(code { _ = try session.state() } == .notFound)
    #expect(code { try store.delete(c.name) } == .notFound)
    // One of the same name is another session.
    _ = try store.create(c)
    #expect(code { _ = try session.state() } == .notFound)
    #expect(code { _ = try session.everything(0) } == .notFound)
  }

  @Test func namesAndSizesAreChecked() throws {
    for name in ["", "a\nb", "\u{7}", String(repeating: "x", count: 256)] {
      #expect(code { _ = try configuration(name, document: Self.document) } == .invalidArgument)
    }
    for (layers, heads, dim) in [(0, 1, 1), (1, 0, 1), (1, 1, 0), (1025, 1, 1), (1, 1025, 1), (1, 1, 1025)] {
      let document = Document(kvHeads: heads, headDim: dim, queryHeads: 1)
      #expect(code { _ = try configuration(layers: layers, document: document) } == .invalidArgument)
    }
    #expect(code { _ = try configuration(document: Self.document, exempt: [2]) } == .invalidArgument)
    let wide = Document(kvHeads: 1024, headDim: 1024, queryHeads: 1024)
    #expect(code { _ = try configuration(document: wide, lag: 65_536, codec: .zstd) } == .tooLarge)
  }

  @Test func oneWriter() throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let session = try store.create(configuration(document: Self.document))
    let again = try store.open("book", expecting: .init())
    var tail: StagedTail? = try session.begin(capacity: 10, owner: Self.account)
    #expect(try session.state().hasWriter)
    #expect(code { _ = try again.begin(capacity: 10, owner: Self.account) } == .busy)
    #expect(code { try store.delete("book") } == .busy)
    _ = try again.overlay(capacity: 10, owner: Self.account)
    tail?.abort()
    tail?.abort()
    let second = try again.begin(capacity: 10, owner: Self.account)
    // The first writer's end does not end the second's.
    tail = nil
    #expect(code { _ = try session.begin(capacity: 10, owner: Self.account) } == .busy)
    second.abort()
    #expect(code { try second.append(Self.document, 0..<1) } == .notBegun)
    #expect(code { _ = try second.commit(tokenIDs: []) } == .notBegun)
    // A writer that is dropped frees the session.
    do { _ = try session.begin(capacity: 10, owner: Self.account) }
    _ = try session.begin(capacity: 10, owner: Self.account)
  }

  @Test func commitIsAllLayersOrNone() throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let session = try store.create(configuration(layers: 3, document: Self.document))
    let tail = try session.begin(capacity: 100, owner: Self.account)
    try tail.append(Self.document, 0..<40)
    try tail.append(Self.document, 40..<45, layers: 1..<2)
    #expect(tail.tokens == [40, 45, 40])
    #expect(code { _ = try tail.commit(tokenIDs: Self.document.ids(0..<40)) } == .layersUneven)
    #expect(try session.state().tokens == 0)
    try tail.append(Self.document, 40..<45, layers: 0..<1)
    try tail.append(Self.document, 40..<45, layers: 2..<3)
    #expect(code { _ = try tail.commit(tokenIDs: Self.document.ids(0..<44)) } == .invalidArgument)
    let state = try tail.commit(tokenIDs: Self.document.ids(0..<45), keepWriting: true)
    #expect(state.tokens == 45 && state.generation == 1)
    try tail.append(Self.document, 45..<90)
    tail.abort()
    #expect(try session.holds(Self.document, tokens: 45))
    #expect(try session.state().tokens == 45)
    #expect(store.statistics.stagedBytes == 0)
  }

  @Test func anEmptyCommitChangesNothing() throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let session = try store.create(configuration(document: Self.document))
    let tail = try session.begin(capacity: 10, owner: Self.account)
    #expect(try tail.commit(tokenIDs: [], keepWriting: true).generation == 0)
    #expect(try tail.commit(tokenIDs: []).tokens == 0)
    #expect(try !session.state().hasWriter)
  }

  /// NaN, infinity and what becomes infinite by rounding are refused with their place, and the tail is as it was.
  @Test(arguments: [
    (ElementType.float32, Float.nan), (.float32, .infinity), (.float16, 70_000), (.bfloat16, -.infinity),
    (.bfloat16, 3.4028e38),
  ])
  func nonFiniteRowsAreRefused(type: ElementType, value: Float) throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let session = try store.create(configuration(document: Self.document, type: type))
    let tail = try session.begin(capacity: 200, owner: Self.account)
    try tail.append(Self.document, 0..<30)
    for (token, head, channel) in [(0, 0, 0), (7, 1, 15), (69, 0, 8)] {
      for part in [Document.Part.keys, .values] {
        var rows = Self.document.rows(part, layer: 1, 30..<100)
        rows[(token * 2 + head) * 16 + channel] = value
        let good = Self.document.rows(part == .keys ? .values : .keys, layer: 1, 30..<100)
        let error = #expect(throws: StoreError.self) {
          try rows.view(70, 2, 16) { bad in
            try good.view(70, 2, 16) {
              try tail.append(layer: 1, keys: part == .keys ? bad : $0, values: part == .keys ? $0 : bad)
            }
          }
        }
        #expect(error?.code == .nonFinite && error?.layer == 1 && error?.head == head)
        #expect(error?.token == 30 + token && error?.channel == channel)
      }
    }
    #expect(tail.tokens == [30, 30])
    try tail.append(Self.document, 30..<150)
    try tail.commit(tokenIDs: Self.document.ids(0..<150))
    #expect(try session.holds(Self.document, tokens: 150))
    var queries = Self.document.rows(.queries, layer: 0, 0..<3)
    queries[40] = .nan
    #expect(
      code {
        _ = try Attended.collect(queries, Self.document) {
          try session.attend(layer: 0, queries: $0, out: $1, logSumExp: $2)
        }
      } == .nonFinite)
  }

  @Test func capacityAndCapsHold() throws {
    let fixture = StoreFixture()
    let store = try fixture.open(staged: 40 << 20)
    let session = try store.create(configuration(document: Self.document))
    let account = StagingAccount(cap: 20 << 20)
    let tail = try session.begin(capacity: 50, owner: account)
    #expect(account.bytes > 0 && store.statistics.stagedBytes == account.bytes)
    try tail.append(Self.document, 0..<30)
    #expect(code { try tail.append(Self.document, 30..<51) } == .stagingFull)
    #expect(tail.tokens == [30, 30])
    try tail.append(Self.document, 30..<50)
    #expect(code { _ = try session.overlay(capacity: 1_000_000, owner: account) } == .tooLarge)
    #expect(code { _ = try session.overlay(capacity: .max, owner: account) } == .tooLarge)
    #expect(code { _ = try session.overlay(capacity: 0, owner: account) } == .invalidArgument)
    // Fill the owner's cap, then everyone's.
    var overlays: [StagedTail] = []
    var failure: StoreError.Code?
    while failure == nil {
      failure = code { overlays.append(try session.overlay(capacity: 1000, owner: account)) }
    }
    #expect(failure == .stagingFull && account.bytes <= 20 << 20)
    let others = (0..<4).map { _ in StagingAccount(cap: 20 << 20) }
    for other in others {
      while code({ overlays.append(try session.overlay(capacity: 1000, owner: other)) }) == nil {}
    }
    #expect(store.statistics.stagedBytes <= 40 << 20 && others[3].bytes == 0)
    overlays = []
    tail.abort()
    #expect(store.statistics.stagedBytes == 0 && account.bytes == 0)
  }

  @Test func commitsOfManyThreadsLand() async throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let document = Self.document
    await withTaskGroup(of: Void.self) { group in
      for i in 0..<12 {
        group.addTask {
          let error = code {
            let session = try store.create(configuration("book \(i)", document: document))
            try session.ingest(document, pieces(0..<120, 10 + i))
          }
          #expect(error == nil)
        }
      }
    }
    for i in 0..<12 { #expect(try store.open("book \(i)", expecting: .init()).holds(document, tokens: 120)) }
    let statistics = store.statistics
    #expect(statistics.sessions == 12 && statistics.committedTokens == 1440)
    #expect(statistics.commitGroups <= statistics.commits + 13)
  }

  @Test func aClosedStoreSaysSo() throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let session = try store.create(configuration(document: Self.document))
    let tail = try session.begin(capacity: 10, owner: Self.account)
    try tail.append(Self.document, 0..<3)
    try store.close()
    try store.close()
    #expect(code { _ = try session.state() } == .closed)
    #expect(code { _ = try tail.commit(tokenIDs: Self.document.ids(0..<3)) } == .closed)
    #expect(code { _ = try store.create(configuration("x", document: Self.document)) } == .closed)
    #expect(code { try store.sync() } == .closed)
    #expect(store.statistics.sessions == 0)
  }

  @Test func eightBitsAndAnArchiveDoNotGoTogether() throws {
    let document = Document(kvHeads: 2, headDim: 16, queryHeads: 2)
    #expect(code { _ = try configuration(document: document, archive: true, codec: .q8) } == .invalidArgument)
    // Nor does a partition of any size need a frame.
    _ = try configuration(document: document, lag: 65_536, codec: .q8)
  }
}
