import Foundation
import KVStore
import LagKV
import Synchronization
import Testing

/// What nobody uses is compressed, and stored raw again when it is used.
@Suite struct AgeingTests {
  static let document = Document(kvHeads: 2, headDim: 64, queryHeads: 2)

  /// A clock that goes on when it is told to.
  final class Clock: Sendable {
    private let seconds = Atomic<Int64>(1_700_000_000)
    func advance(_ by: Int64) { seconds.wrappingAdd(by, ordering: .relaxed) }
    var now: Int64 { seconds.load(ordering: .relaxed) }
  }

  static func open(_ fixture: StoreFixture, _ clock: Clock, coldAfter: Int64?) throws -> KVStore {
    try KVStore(
      path: fixture.path,
      options: StoreOptions(
        quotaBytes: 1 << 30, durability: .process, coldAfterSeconds: coldAfter, clock: { clock.now }))
  }

  private func codec(_ store: KVStore, _ name: String) throws -> Codec? {
    try store.describe(name).1.first?.codec
  }

  @Test func unusedSessionsAreCompressedAndUsedOnesComeBack() throws {
    let fixture = StoreFixture()
    let clock = Clock()
    let store = try Self.open(fixture, clock, coldAfter: 4)
    for (name, archive) in [("old", false), ("read", false), ("archive", true)] {
      let session = try store.create(
        configuration(name, document: Self.document, policy: .full, archive: archive))
      try session.ingest(Self.document, pieces(0..<2000, 500))
    }
    let small = try store.create(configuration("small", document: Self.document))
    try small.ingest(Self.document, [0..<50])
    let old = try store.open("old")
    let read = try store.open("read")
    let expected = try old.attend(Self.document, queries: 0..<1, layer: 0)
    // Nothing is old yet: three looks of the thread change nothing.
    Thread.sleep(forTimeInterval: 3.2)
    #expect(store.statistics.demotions == 0)
    clock.advance(1000)
    _ = try read.attend(Self.document, queries: 0..<1, layer: 0)
    try Waiting.until { store.statistics.demotions == 1 }
    #expect(try codec(store, "old") == .zstd && codec(store, "read") == .raw)
    #expect(try codec(store, "archive") == .raw && codec(store, "small") == .raw)
    #expect(try store.describe("old").0.configuration.codec == .raw)
    // One question is not enough to store it raw again; a few are.
    #expect(try old.attend(Self.document, queries: 0..<1, layer: 0) == expected)
    Thread.sleep(forTimeInterval: 1.5)
    #expect(try codec(store, "old") == .zstd)
    for _ in 0..<8 { #expect(try old.attend(Self.document, queries: 0..<1, layer: 0) == expected) }
    try Waiting.until { store.statistics.promotions == 1 }
    #expect(try codec(store, "old") == .raw)
    #expect(try old.attend(Self.document, queries: 0..<1, layer: 0) == expected)
    #expect(try old.holds(Self.document, tokens: 2000))
    #expect(try store.verify(nil).damage.isEmpty)
  }

  @Test func nothingAgesWithoutALimit() throws {
    let fixture = StoreFixture()
    let clock = Clock()
    let store = try Self.open(fixture, clock, coldAfter: nil)
    try store.create(configuration(document: Self.document, policy: .full)).ingest(
      Self.document, pieces(0..<2000, 500))
    clock.advance(1_000_000)
    Thread.sleep(forTimeInterval: 1.5)
    #expect(try codec(store, "book") == .raw)
  }

  /// Closing does not wait for a long copy, and the next opening finds the session whole.
  @Test func closingInTheMiddle() throws {
    let fixture = StoreFixture()
    let clock = Clock()
    var store = try Self.open(fixture, clock, coldAfter: 1)
    try store.create(configuration(layers: 4, document: Self.document, policy: .full)).ingest(
      Self.document, pieces(0..<8000, 1000))
    clock.advance(1000)
    try Waiting.until { store.statistics.liveBytes > (try store.sessions()[0].storedBytes) }
    try store.close()
    store = try Self.open(fixture, clock, coldAfter: nil)
    #expect(try store.open("book").holds(Self.document, tokens: 8000))
    #expect(try store.verify(nil).damage.isEmpty)
    let stored = try store.open("book").state().storedBytes
    try Waiting.until { store.statistics.liveBytes == stored }
  }
}
