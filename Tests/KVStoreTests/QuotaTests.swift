import Foundation
import KVStore
import LagKV
import Testing

/// The quota: refused in time, figures that LMDB confirms, deletes that always work.
@Suite struct QuotaTests {
  static let document = Document(kvHeads: 2, headDim: 64, queryHeads: 2)

  static func fill(_ session: Session, from start: Int) throws -> Int {
    let tail = try session.begin(capacity: 128, owner: StagingAccount(cap: 1 << 30))
    var tokens = start
    while true {
      try tail.append(document, tokens..<tokens + 100)
      try tail.commit(tokenIDs: document.ids(tokens..<tokens + 100), keepWriting: true)
      tokens += 100
    }
  }

  @Test func fillDeleteFillAgain() throws {
    let fixture = StoreFixture()
    let quota = 24 << 20
    let store = try fixture.open(quota: quota)
    var most = 0
    for round in 0..<4 {
      let name = "book \(round)"
      let session = try store.create(
        configuration(name, document: Self.document, policy: .full, sinks: 0, lag: 64))
      let error = #expect(throws: StoreError.self) { _ = try Self.fill(session, from: 0) }
      #expect(error?.code == .quotaExceeded && error?.message.contains("delete") == true)
      let tokens = try session.state().tokens
      // What one round got in, the next gets in too.
      if round == 0 { most = tokens }
      #expect(tokens >= most * 9 / 10, "round \(round): \(tokens) of \(most)")
      #expect(try session.holds(Self.document, tokens: tokens))
      let statistics = store.statistics
      #expect(statistics.fileBytes <= quota)
      #expect(statistics.liveBytes == (try session.state().storedBytes))
      #expect(statistics.liveBytes > quota * 7 / 10)
      try store.delete(name)
    }
    #expect(try store.verify(nil).damage.isEmpty)
  }

  @Test func figuresAreLMDBs() throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    for codec in Codec.allCases {
      let session = try store.create(
        configuration(
          codec.name, layers: 3, document: Self.document, exempt: [1], archive: codec != .q8, codec: codec))
      try session.ingest(Self.document, pieces(0..<500, 77))
    }
    let stored = try store.sessions().reduce(0) { $0 + $1.storedBytes }
    #expect(store.statistics.liveBytes == stored && store.statistics.unreclaimedBytes == 0)
    let layers = try store.describe("raw").1
    #expect(layers.reduce(0) { $0 + $1.storedBytes } == (try store.describe("raw").0.storedBytes))
    #expect(store.usedPages * 4096 >= stored && store.usedPages * 4096 < stored + (1 << 20))
  }

  /// A deleted session's slabs are freed after a restart too, 1,000 a transaction.
  @Test func reclaimingGoesOnAfterARestart() throws {
    let fixture = StoreFixture()
    var store = try fixture.open()
    // 64 heads of 128 f32: one row fills a slab.
    let wide = Document(kvHeads: 64, headDim: 128, queryHeads: 64)
    let session = try store.create(
      configuration(document: wide, type: .float32, policy: .full, sinks: 0, lag: 100))
    try session.ingest(wide, pieces(0..<400, 100), capacity: 100)
    let before = store.statistics
    #expect(before.liveBytes >= 800 * 69_632)
    try store.delete("book")
    try store.close()
    store = try fixture.open()
    try Waiting.until { store.statistics.unreclaimedBytes == 0 }
    #expect(store.statistics.liveBytes == 0)
    #expect(store.statistics.sessions == 0)
    #expect(store.usedPages < 100)
    // The room is used again: the file does not grow.
    let again = try store.create(
      configuration(document: wide, type: .float32, policy: .full, sinks: 0, lag: 100))
    try again.ingest(wide, pieces(0..<400, 100), capacity: 100)
    #expect(store.statistics.fileBytes <= before.fileBytes + before.fileBytes / 20)
  }

  @Test func aSmallerQuotaThanTheStoreIsRefused() throws {
    let fixture = StoreFixture()
    do {
      let store = try fixture.open(quota: 64 << 20)
      let session = try store.create(
        configuration(document: Self.document, policy: .full, sinks: 0, lag: 64))
      try session.ingest(Self.document, pieces(0..<6000, 1000))
      #expect(store.statistics.liveBytes > 9 << 20)
      try store.close()
    }
    let error = #expect(throws: StoreError.self) { _ = try fixture.open(quota: 9 << 20) }
    #expect(error?.code == .quotaExceeded)
    #expect(try fixture.open(quota: 64 << 20).sessions().count == 1)
    #expect(code { _ = try StoreFixture().open(quota: 1 << 20) } == .invalidArgument)
  }

  /// Set LAGOON_SMALL_DISK to a folder on a file system of some 30 MB.
  @Test(
    .enabled(
      if: ProcessInfo.processInfo.environment["LAGOON_SMALL_DISK"] != nil,
      "needs a small disk: make test-long"))
  func aFullDiskIsSurvived() throws {
    let path = (ProcessInfo.processInfo.environment["LAGOON_SMALL_DISK"] ?? "") + "/store"
    let store = try KVStore(path: path, options: StoreOptions(quotaBytes: 1 << 30, durability: .full))
    let session = try store.create(
      configuration("book", document: Self.document, policy: .full, sinks: 0, lag: 64))
    #expect(code { _ = try Self.fill(session, from: 0) } == .diskFull)
    let tokens = try session.state().tokens
    #expect(try tokens > 1000 && session.holds(Self.document, tokens: tokens))
    try store.delete("book")
    // At once and without a pause: what was deleted makes room, if perhaps not for the very next commit.
    let again = try store.create(configuration("again", document: Self.document))
    var refused = 0
    while case let start = try again.state().tokens, start < 1000, refused < 10 {
      let failure = code { try again.ingest(Self.document, [start..<start + 100]) }
      #expect(failure == nil || failure == .diskFull)
      refused += failure == nil ? 0 : 1
    }
    #expect(try again.holds(Self.document, tokens: 1000))
    try store.close()
  }

  /// A commit that does not fit leaves its tail whole: after a delete it goes through.
  @Test func aRefusedCommitMayBeTriedAgain() throws {
    let fixture = StoreFixture()
    let store = try fixture.open(quota: 16 << 20)
    let ballast = try store.create(
      configuration("ballast", document: Self.document, policy: .full, sinks: 0, lag: 64))
    #expect(code { _ = try Self.fill(ballast, from: 0) } == .quotaExceeded)
    let session = try store.create(configuration(document: Self.document))
    let tail = try session.begin(capacity: 300, owner: StagingAccount(cap: 1 << 30))
    try tail.append(Self.document, 0..<300)
    #expect(code { _ = try tail.commit(tokenIDs: Self.document.ids(0..<300)) } == .quotaExceeded)
    #expect(try session.state().tokens == 0)
    try store.delete("ballast")
    try tail.commit(tokenIDs: Self.document.ids(0..<300))
    #expect(try session.holds(Self.document, tokens: 300))
  }
}
