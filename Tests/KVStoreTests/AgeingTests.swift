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
    let store = try Self.open(fixture, clock, coldAfter: 1000)
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
    func codecs() throws -> [Codec?] {
      store.lookAtAges()
      return try ["old", "read", "archive", "small"].map { try codec(store, $0) }
    }
    clock.advance(999)
    #expect(try codecs() == [.raw, .raw, .raw, .raw])
    _ = try read.attend(Self.document, queries: 0..<1, layer: 0)
    clock.advance(1)
    #expect(try codecs() == [.zstd, .raw, .raw, .raw])
    #expect(try store.describe("old").0.configuration.codec == .raw)
    // Four times both of its layers: seven are not enough.
    for _ in 0..<7 { #expect(try old.attend(Self.document, queries: 0..<1, layer: 0) == expected) }
    #expect(try codecs() == [.zstd, .raw, .raw, .raw])
    // An overlay reads too; as long as it is there the rows stay where they are.
    let overlay = try old.overlay(capacity: 8, owner: StagingAccount(cap: 1 << 30))
    _ = try overlay.step(Self.document, 2000..<2001, layer: 0)
    #expect(try codecs() == [.zstd, .raw, .raw, .raw])
    overlay.abort()
    // What could not be done is not tried again at once.
    #expect(try codecs() == [.zstd, .raw, .raw, .raw])
    clock.advance(600)
    #expect(try codecs() == [.raw, .raw, .raw, .raw])
    #expect(store.statistics.demotions == 1 && store.statistics.promotions == 1)
    #expect(try old.attend(Self.document, queries: 0..<1, layer: 0) == expected)
    #expect(try old.holds(Self.document, tokens: 2000))
    #expect(try store.verify(nil).damage.isEmpty)
  }

  /// The thread itself.
  @Test func itHappensWithoutBeingAsked() throws {
    let fixture = StoreFixture()
    let clock = Clock()
    let store = try Self.open(fixture, clock, coldAfter: 1)
    let session = try store.create(configuration(document: Self.document, policy: .full))
    try session.ingest(Self.document, pieces(0..<2000, 500))
    clock.advance(1000)
    try Waiting.until { store.statistics.demotions == 1 }
    for _ in 0..<8 { _ = try session.attend(Self.document, queries: 0..<1, layer: 0) }
    try Waiting.until { store.statistics.promotions == 1 }
    #expect(try session.holds(Self.document, tokens: 2000))
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
