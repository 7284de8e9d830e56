import Foundation
import LagoonClient
import LagoonDaemon
import Testing

/// `verify` of a store with more damage than one reply lists.
@Suite struct VerifyCallTests {
  let text = SyntheticText(seed: 61)

  /// A store with two sessions, every slab of which has a flipped bit.
  private func damagedStore() throws -> TemporaryFolder {
    let daemon = try LocalDaemon()
    let connection = try daemon.connect()
    for name in ["book", "other"] {
      let session = try connection.createSession(text.parameters(name: name, policy: .lagkv))
      try session.begin(capacity: 70)
      for layer in 0..<text.layers {
        try session.append(
          layer: layer, keys: text.tensor(.keys, layer: layer, tokens: 0..<70),
          values: text.tensor(.values, layer: layer, tokens: 0..<70))
      }
      try session.commit(tokenIDs: text.ids(0..<70))
    }
    daemon.stop()
    let url = URL(fileURLWithPath: daemon.folder("store/data.mdb"))
    var file = try Data(contentsOf: url)
    // A slab begins behind the 16 bytes of LMDB's page header.
    for slab in stride(from: 16, to: file.count - 8192, by: 4096)
    where file[slab..<slab + 4].elementsEqual("LGSL".utf8) { file[slab + 4100] ^= 1 }
    try file.write(to: url)
    return daemon.folder
  }

  @Test func allDamageIsCounted() throws {
    var limits = LocalDaemon.defaultLimits
    limits.listedDamage = 3
    let daemon = try LocalDaemon(folder: damagedStore(), limits: limits)
    let all = try daemon.daemon.store.verify(nil).damage
    try #require(all.count > 3)
    let report = try daemon.connect().verify()
    #expect(report.damagedRecords == all.count)
    #expect(report.damage.map(\.message) == all.prefix(3).map(\.message))
    let one = try daemon.connect().verify("other")
    #expect(one.damagedRecords == all.count(where: { $0.session == "other" }))
  }

  @Test func aSoundStoreHasNone() throws {
    let daemon = try LocalDaemon()
    let connection = try daemon.connect()
    try text.expectRightAnswers(connection.createSession(text.parameters(name: "s")), tokens: 30)
    let report = try connection.verify()
    #expect(report.damagedRecords == 0 && report.damage.isEmpty && report.records > 0)
  }
}
