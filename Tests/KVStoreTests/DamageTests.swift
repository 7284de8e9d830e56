import Foundation
import KVStore
import LagKV
import SparseAttention
import TestSupport
import Testing

/// Rot: what was written over outside the store is refused by name, never served.
@Suite struct DamageTests {
  static let document = Document(kvHeads: 2, headDim: 16, queryHeads: 2)
  static let valueBytes = 17 * 4096 - 16

  /// The slabs in a data file: offsets of values that start with a slab's magic and belong to `extent`.
  static func slabs(_ file: Data) -> [Int] {
    stride(from: 16, to: file.count - valueBytes, by: 4096).filter {
      file[$0..<$0 + 4].elementsEqual("LGSL".utf8)
    }
  }

  static func field<T: FixedWidthInteger>(_ file: Data, _ offset: Int, _: T.Type) -> T {
    file.withUnsafeBytes { T(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: T.self)) }
  }

  /// A closed store with two sessions, committed in several steps.
  static func made(codec: Codec) throws -> StoreFixture {
    let fixture = StoreFixture()
    let store = try fixture.open()
    for name in ["book", "other"] {
      let session = try store.create(
        configuration(name, document: document, archive: codec != .q8, codec: codec))
      try session.ingest(document, pieces(0..<205, 41))
    }
    try store.close()
    return fixture
  }

  /// What both sessions must hold.
  static func expected(_ codec: Codec) -> [ExpectedLayer] {
    (0..<2).compactMap { layer in
      (try? configuration(document: document, codec: codec)).map {
        ExpectedLayer(document, $0, layer: layer, tokens: 205)
      }
    }
  }
  static let expected = Dictionary(uniqueKeysWithValues: Codec.allCases.map { ($0, expected($0)) })

  /// Reads everything of a session; damage shows as `corrupt` with session and layer, never as other bytes.
  ///
  /// - Returns: whether damage was found.
  static func readAll(_ store: KVStore, _ name: String) throws -> Bool {
    var damaged = false
    let session = try store.open(name, expecting: .init())
    let c = session.configuration
    for layer in 0..<2 {
      let expected = try #require(expected[c.codec])[layer]
      do {
        let rows = try session.everything(layer)
        #expect(rows == expected.fetched(0..<expected.positions[0].count, tokens: 205, rowBytes: 64))
        for p in 0..<(c.archive ? c.retention.geometry(layer: layer).scoredPartitions(205) : 0) {
          let archived = try session.archived(layer: layer, partition: p)
          let bytes = (4 + p * 16) * 64..<(20 + p * 16) * 64
          #expect(archived.keys == expected.keys.flatMap { $0[bytes] })
        }
      } catch let error as StoreError {
        #expect(error.code == .corrupt && error.session == name && error.layer == layer, "\(error)")
        #expect(code { _ = try session.attend(document, queries: 0..<1, layer: layer) } != .internal)
        damaged = true
      }
    }
    return damaged
  }

  @Test(arguments: Codec.allCases) func everyFlipIsRefusedOrHarmless(codec: Codec) throws {
    let fixture = try Self.made(codec: codec)
    let clean = try Data(contentsOf: URL(fileURLWithPath: fixture.dataFile))
    let slabs = Self.slabs(clean)
    var generator = SeededGenerator(1 + UInt64(codec.rawValue))
    var refused = 0
    let flips = longTests ? 2000 : 120
    for flip in 0..<flips {
      var file = clean
      let slab = slabs.randomElement(using: &generator)!
      // Half of the flips go to the header area, where a byte means most.
      let offset =
        flip % 2 == 0
        ? Int.random(in: 0..<200, using: &generator) : Int.random(in: 0..<Self.valueBytes, using: &generator)
      file[slab + offset] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
      try file.write(to: URL(fileURLWithPath: fixture.dataFile))
      let store = try fixture.open()
      var damaged = false
      for name in ["book", "other"] { damaged = try Self.readAll(store, name) || damaged }
      let report = try store.verify(nil)
      #expect(report.damage.isEmpty == !damaged, "flip of byte \(offset) of the slab at \(slab)")
      #expect(report.damage.allSatisfy { $0.code == .corrupt && $0.session != nil && $0.layer != nil })
      #expect((store.statistics.quarantinedRecords > 0) == damaged)
      if damaged { refused += 1 }
      try store.close()
    }
    // Some slabs of the file are free by now, and so are the rows behind those in use.
    #expect(refused > flips / 6)
  }

  /// The other session and the other layer are served beside a damaged record, commits go on, and deleting heals.
  @Test func theRestIsServed() throws {
    let fixture = try Self.made(codec: .raw)
    var file = try Data(contentsOf: URL(fileURLWithPath: fixture.dataFile))
    for slab in Self.slabs(file) where Self.field(file, slab + 8, UInt64.self) == 1 {
      if Self.field(file, slab + 24, UInt16.self) == 1 { file[slab + 4200] ^= 4 }
    }
    try file.write(to: URL(fileURLWithPath: fixture.dataFile))
    let store = try fixture.open()
    #expect(try Self.readAll(store, "book"))
    #expect(try !Self.readAll(store, "other"))
    let book = try store.open("book", expecting: .init())
    _ = try book.attend(Self.document, queries: 0..<1, layer: 0)
    #expect(code { _ = try book.attend(Self.document, queries: 0..<1, layer: 1) } == .corrupt)
    let other = try store.open("other", expecting: .init())
    try other.ingest(Self.document, pieces(205..<300, 20))
    #expect(try other.holds(Self.document, tokens: 300))
    // A writer of the damaged layer is told, and the session stays as it was.
    let tail = try book.begin(capacity: 100, owner: StagingAccount(cap: 1 << 30))
    #expect(code { try tail.append(Self.document, 205..<260, layers: 1..<2) } == .corrupt)
    #expect(tail.tokens == [205, 205])
    tail.abort()
    try store.delete("book")
    try store.close()
    #expect(try fixture.open().verify(nil).damage.isEmpty)
  }

  /// An earlier version of a partial slab has a good checksum and the right key; its generation gives it away.
  @Test func aStalePartialSlabIsRefused() throws {
    let fixture = StoreFixture()
    let url = URL(fileURLWithPath: fixture.dataFile)
    var store = try fixture.open()
    let session = try store.create(configuration(document: Self.document, sinks: 4, lag: 16))
    try session.ingest(Self.document, [0..<60])
    try store.close()
    let before = try Data(contentsOf: url)
    store = try fixture.open()
    try store.open("book", expecting: .init()).ingest(Self.document, [60..<64])
    try store.close()
    var after = try Data(contentsOf: url)
    func key(_ file: Data, _ slab: Int) -> Data { file[slab + 6..<slab + 28] }
    var replaced = 0
    for new in Self.slabs(after) where Self.field(after, new + 40, UInt64.self) == 2 {
      for old in Self.slabs(before)
      where key(before, old) == key(after, new) && Self.field(before, old + 40, UInt64.self) == 1 {
        after.replaceSubrange(new..<new + Self.valueBytes, with: before[old..<old + Self.valueBytes])
        replaced += 1
      }
    }
    #expect(replaced > 0)
    try after.write(to: url)
    store = try fixture.open()
    let report = try store.verify("book")
    #expect(!report.damage.isEmpty && report.damage.allSatisfy { $0.code == .corrupt })
    for layer in 0..<2 {
      #expect(code { _ = try store.open("book", expecting: .init()).everything(layer) } == .corrupt)
    }
  }

  /// A checksum-valid slab under the wrong key.
  @Test func swappedSlabsAreRefused() throws {
    let fixture = try Self.made(codec: .raw)
    let clean = try Data(contentsOf: URL(fileURLWithPath: fixture.dataFile))
    let slabs = Self.slabs(clean)
    var generator = SeededGenerator(9)
    for _ in 0..<20 {
      var file = clean
      let pair = slabs.shuffled(using: &generator).prefix(2)
      let (a, b) = (pair[0], pair[1])
      file.replaceSubrange(a..<a + Self.valueBytes, with: clean[b..<b + Self.valueBytes])
      file.replaceSubrange(b..<b + Self.valueBytes, with: clean[a..<a + Self.valueBytes])
      try file.write(to: URL(fileURLWithPath: fixture.dataFile))
      let store = try fixture.open()
      var found = false
      for name in ["book", "other"] { found = try Self.readAll(store, name) || found }
      // Slabs that no record refers to any more may be swapped without harm.
      #expect(try store.verify(nil).damage.isEmpty == !found)
      try store.close()
    }
  }

  @Test func aDamagedSessionRecordIsRefused() throws {
    let fixture = try Self.made(codec: .raw)
    var file = try Data(contentsOf: URL(fileURLWithPath: fixture.dataFile))
    var hits = 0
    for offset in 0..<file.count - 200
    where file[offset] == 0x4C && file[offset..<offset + 4].elementsEqual("LGSE".utf8) {
      if Self.field(file, offset + 16, UInt64.self) == 1 {
        file[offset + 33] ^= 1
        hits += 1
      }
    }
    #expect(hits > 0)
    try file.write(to: URL(fileURLWithPath: fixture.dataFile))
    let store = try fixture.open()
    let error = #expect(throws: StoreError.self) { _ = try store.open("book", expecting: .init()) }
    #expect(error?.code == .corrupt && error?.session == "book")
    #expect(try !Self.readAll(store, "other"))
    #expect(try store.verify(nil).damage.contains { $0.session == "book" })
    #expect(try store.sessions().map(\.configuration.name) == ["other"])
    #expect(store.statistics.quarantinedRecords == 1)
    // It can be deleted, and nothing of it stays.
    try store.delete("book")
    try Waiting.until { store.statistics.liveBytes == (try store.sessions()[0].storedBytes) }
    #expect(try store.verify(nil).damage.isEmpty)
    #expect(store.statistics.quarantinedRecords == 0)
    #expect(try !Self.readAll(store, "other"))
  }

  @Test func aFileCutShortIsRefused() throws {
    let fixture = try Self.made(codec: .raw)
    let file = try Data(contentsOf: URL(fileURLWithPath: fixture.dataFile))
    let url = URL(fileURLWithPath: fixture.dataFile)
    #expect(file.count > 2 << 20)
    for bytes in [file.count - (3 << 19), 20_000] {
      try file.prefix(bytes).write(to: url)
      #expect(code { _ = try fixture.open() } == .corrupt)
      #expect(code { _ = try KVStore.openReadOnly(path: fixture.path) } == .corrupt)
    }
    // A few pages short: whatever they were, it is an error and not the end of the process.
    for pages in [1, 20, 200] {
      try file.prefix(file.count - pages * 4096).write(to: url)
      let failure = code {
        let store = try fixture.open()
        for name in ["book", "other"] { _ = try Self.readAll(store, name) }
      }
      #expect(failure == nil || failure == .corrupt)
    }
    try Data(repeating: 7, count: 100_000).write(to: URL(fileURLWithPath: fixture.dataFile))
    #expect(code { _ = try fixture.open() } != nil)
  }
}
