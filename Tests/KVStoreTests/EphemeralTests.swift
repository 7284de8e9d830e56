import Foundation
import KVStore
import Testing

/// Sessions that go with whoever made them.
@Suite struct EphemeralTests {
  static let document = Document(kvHeads: 2, headDim: 16, queryHeads: 2)
  static let account = StagingAccount(cap: 1 << 30)

  private func create(_ store: KVStore, _ name: String, ephemeral: Bool, tokens: Int = 200) throws -> Session
  {
    let session = try store.create(
      configuration(name, document: Self.document, archive: true, ephemeral: ephemeral))
    if tokens > 0 { try session.ingest(Self.document, pieces(0..<tokens, 50)) }
    return session
  }

  @Test func theFlagIsOfTheSessionAndItsRecord() throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    _ = try create(store, "lasting", ephemeral: false)
    let brief = try create(store, "brief", ephemeral: true)
    #expect(try brief.state().configuration.ephemeral)
    #expect(try store.open("brief").configuration.ephemeral)
    #expect(try store.sessions().map(\.configuration.ephemeral) == [true, false])
    #expect(try store.describe("brief").0.configuration.ephemeral)
    #expect(try brief.holds(Self.document, tokens: 200))
    // What versions before wrote as a reserved zero; an ordinary session's record is as it was.
    let file = try Data(contentsOf: URL(fileURLWithPath: fixture.dataFile))
    var flags: [String: Set<UInt32>] = [:]
    var rest = 0..<file.count
    while let magic = file.range(of: Data("LGSE".utf8), in: rest) {
      let offset = magic.lowerBound
      rest = magic.upperBound..<file.count
      let count = Int(DamageTests.field(file, offset + 6, UInt16.self))
      let name = String(decoding: file[offset + 156..<offset + 156 + count], as: UTF8.self)
      // Pages that hold other things may have such bytes too.
      guard ["lasting", "brief"].contains(name) else { continue }
      flags[name, default: []].insert(DamageTests.field(file, offset + 12, UInt32.self))
    }
    #expect(flags == ["lasting": [0], "brief": [1]])
  }

  /// Whoever reads it, writes to it or has an overlay or a backward pass over it finds it gone.
  @Test func endingSparesNobody() throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let lasting = try create(store, "lasting", ephemeral: false)
    let before = store.usedPages
    let session = try create(store, "brief", ephemeral: true)
    let other = try store.open("brief")
    let overlay = try other.overlay(capacity: 10, owner: Self.account)
    let tail = try other.begin(capacity: 10, owner: Self.account)
    try tail.append(Self.document, 200..<210)
    let pass = try other.beginBackward()
    #expect(pass.tokens == 200)
    try store.end(session)
    #expect(code { try tail.commit(tokenIDs: Self.document.ids(200..<210)) } == .notFound)
    #expect(code { _ = try other.attend(Self.document, queries: 0..<1, layer: 0) } == .notFound)
    #expect(code { _ = try overlay.attend(Self.document, queries: 0..<1, layer: 0) } == .notFound)
    #expect(code { _ = try other.everything(0) } == .notFound)
    #expect(code { _ = try store.open("brief") } == .notFound)
    #expect(try store.sessions().map(\.configuration.name) == ["lasting"])
    tail.abort()
    // Its slabs are reclaimed like a deleted session's, and nobody calls them damaged meanwhile.
    #expect(try store.verify(nil).damage.isEmpty)
    try Waiting.until { store.statistics.unreclaimedBytes == 0 }
    #expect(store.usedPages <= before + 20)
    #expect(try lasting.holds(Self.document, tokens: 200))

    // Once more does nothing, nor does it to another of the name.
    try store.end(session)
    let again = try create(store, "brief", ephemeral: false)
    try store.end(session)
    #expect(try again.holds(Self.document, tokens: 200))
    #expect(code { try store.end(again) } == .invalidArgument)
  }

  @Test func closingEndsThem() throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    for i in 0..<70 { _ = try create(store, "brief \(i)", ephemeral: true, tokens: i < 3 ? 100 : 0) }
    _ = try create(store, "lasting", ephemeral: false)
    try store.close()
    let reader = try KVStore.openReadOnly(path: fixture.path)
    #expect(try reader.sessions().map(\.configuration.name) == ["lasting"])
    try reader.close()
    let after = try fixture.open()
    try Waiting.until { after.statistics.unreclaimedBytes == 0 }
    #expect(try after.open("lasting").holds(Self.document, tokens: 200))
  }

  /// What is on the disk when the process or the machine dies with the store open.
  private func cut(_ options: StoreOptions, damaging extents: Set<UInt64> = []) throws -> StoreFixture {
    let fixture = StoreFixture()
    let store = try KVStore(path: fixture.path, options: options)
    _ = try create(store, "brief", ephemeral: true)
    _ = try create(store, "lasting", ephemeral: false)
    let cut = StoreFixture()
    try FileManager.default.createDirectory(atPath: cut.path, withIntermediateDirectories: false)
    var file = try Data(contentsOf: URL(fileURLWithPath: fixture.dataFile))
    for slab in DamageTests.slabs(file) where extents.contains(DamageTests.field(file, slab + 8, UInt64.self))
    {
      file[slab + 4100] ^= 1
    }
    try file.write(to: URL(fileURLWithPath: cut.dataFile))
    try Data().write(to: URL(fileURLWithPath: "\(cut.path)/lagoon.lock"))
    return cut
  }

  @Test(arguments: Durability.allCases) func openingEndsWhatADeadProcessLeft(durability: Durability) throws {
    var options = StoreOptions(quotaBytes: 64 << 20, durability: durability)
    options.boot = "first"
    let cut = try cut(options, damaging: [1])
    // A stopped store is only read: they are there, and marked, and their damage is nobody's business.
    let reader = try KVStore.openReadOnly(path: cut.path)
    #expect(try reader.sessions().map(\.configuration.ephemeral) == [true, false])
    #expect(try reader.verify(nil).damage.isEmpty)
    #expect(try reader.verify("brief").damage.isEmpty)
    try reader.close()
    // The machine went down as well: damage that goes with an ephemeral session is no reason to refuse the store.
    options.boot = "second"
    let store = try KVStore(path: cut.path, options: options)
    #expect(try store.sessions().map(\.configuration.name) == ["lasting"])
    #expect(store.statistics.quarantinedRecords == 0)
    #expect(try store.verify(nil).damage.isEmpty)
    try Waiting.until { store.statistics.unreclaimedBytes == 0 }
    #expect(try store.open("lasting").holds(Self.document, tokens: 200))
  }

  @Test func otherDamageIsNotForgiven() throws {
    var options = StoreOptions(quotaBytes: 64 << 20, durability: .process)
    options.boot = "first"
    let cut = try cut(options, damaging: [1, 2])
    options.boot = "second"
    #expect(code { _ = try KVStore(path: cut.path, options: options) } == .unclean)
  }

  /// They count in the quota while they live, and give back what they took.
  @Test func quotaIsGivenBack() throws {
    let fixture = StoreFixture()
    let store = try fixture.open(quota: 16 << 20)
    for round in 0..<3 {
      var sessions: [Session] = []
      let refusal = code {
        for i in 0..<1000 {
          sessions.append(
            try store.create(configuration("\(round).\(i)", document: Self.document, ephemeral: true)))
          try sessions[i].ingest(Self.document, [0..<200])
        }
      }
      #expect(refusal == .quotaExceeded && sessions.count > 10)
      for session in sessions { try store.end(session) }
      try Waiting.until { store.statistics.unreclaimedBytes == 0 }
    }
    #expect(try store.sessions().isEmpty)
  }
}
