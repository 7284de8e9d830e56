import Foundation
import KVStore
import LagoonClient
import Testing

/// Ephemeral sessions go with the connection that made them, and with the daemon.
@Suite struct EphemeralSessionTests {
  let text = SyntheticText(seed: 31)

  private func make(
    _ connection: LagoonConnection, _ name: String, ephemeral: Bool = true, tokens: Int = 70
  ) throws -> RemoteSession {
    var parameters = text.parameters(name: name, policy: .lagkv)
    parameters.ephemeral = ephemeral
    let session = try connection.createSession(parameters)
    #expect(session.info.parameters.ephemeral == ephemeral)
    try session.begin(capacity: tokens)
    for layer in 0..<text.layers {
      func rows(_ kind: SyntheticText.Kind) -> HostTensor {
        text.tensor(kind, layer: layer, tokens: 0..<tokens)
      }
      try session.append(layer: layer, keys: rows(.keys), values: rows(.values))
    }
    try session.commit(tokenIDs: text.ids(0..<tokens))
    return session
  }

  private func gone(_ body: () throws -> Void) -> Bool {
    do {
      try body()
      return false
    } catch let error as LagoonError {
      return error.code == .notFound
    } catch {
      return false
    }
  }

  /// Others may look at it and even write to it; once its maker is gone they are told, and nothing else happens to them.
  @Test func theConnectionsEndIsTheSessions() throws {
    let daemon = try LocalDaemon()
    let watcher = try daemon.connect()
    var maker: LagoonConnection? = try daemon.connect()
    if let maker {
      let made = try make(maker, "brief")
      _ = try make(maker, "lasting", ephemeral: false)
      // Closing the handle ends nothing.
      try made.close()
    }
    #expect(try watcher.listSessions().map(\.parameters.ephemeral) == [true, false])
    #expect(try watcher.describe("brief").info.parameters.ephemeral)
    let session = try watcher.openSession("brief")
    let queries = text.tensor(.queries, layer: 0, tokens: 3..<4)
    #expect(try session.attend(layer: 0, queries: queries).tokens == 70)
    let overlay = try session.overlay(capacity: 5)
    try session.begin(capacity: 5)

    maker = nil
    try eventually { try watcher.listSessions().map(\.name) == ["lasting"] }
    #expect(gone { _ = try session.attend(layer: 0, queries: queries) })
    #expect(gone { _ = try overlay.attend(layer: 0, queries: queries) })
    #expect(gone { _ = try session.fetch(layer: 1) })
    #expect(gone { _ = try watcher.openSession("brief") })
    #expect(
      gone {
        for layer in 0..<text.layers {
          try session.append(
            layer: layer, keys: text.tensor(.keys, layer: layer, tokens: 70..<75),
            values: text.tensor(.values, layer: layer, tokens: 70..<75))
        }
        try session.commit(tokenIDs: text.ids(70..<75))
      })
    try session.close()
    try eventually { try watcher.stats().unreclaimedBytes == 0 }
    #expect(try watcher.verify().damage.isEmpty)
    try daemon.expectGoodService()
  }

  @Test func whoDeletesItFirstMayUseTheName() throws {
    let daemon = try LocalDaemon()
    let watcher = try daemon.connect()
    var maker: LagoonConnection? = try daemon.connect()
    if let maker { _ = try make(maker, "name") }
    try watcher.deleteSession("name")
    _ = try make(watcher, "name", ephemeral: false)
    if let maker { _ = try make(maker, "last") }
    maker = nil
    try eventually { try watcher.listSessions().map(\.name) == ["name"] }
  }

  /// To Swift's strings both spellings are the same; to the store they are two sessions.
  @Test func spellingsOfANameAreSeveralNames() throws {
    let daemon = try LocalDaemon()
    let watcher = try daemon.connect()
    let (composed, decomposed) = ("caf\u{E9}", "cafe\u{301}")
    var maker: LagoonConnection? = try daemon.connect()
    if let maker {
      _ = try make(maker, composed)
      _ = try make(maker, decomposed)
    }
    #expect(try watcher.listSessions().count == 2)
    maker = nil
    try eventually { try watcher.listSessions().isEmpty }

    maker = try daemon.connect()
    if let maker {
      _ = try make(maker, composed)
      _ = try make(maker, decomposed, ephemeral: false)
      try maker.deleteSession(decomposed)
    }
    #expect(try watcher.listSessions().map { Array($0.name.utf8) } == [Array(composed.utf8)])
    maker = nil
    try eventually { try watcher.listSessions().isEmpty }
  }

  /// A daemon that stops in order, or whose connections are cut off, leaves none behind either.
  @Test func stoppingLeavesNone() throws {
    let daemon = try LocalDaemon()
    let connection = try daemon.connect()
    _ = try make(connection, "brief")
    _ = try make(connection, "lasting", ephemeral: false)
    daemon.stop()
    let store = try KVStore.openReadOnly(path: daemon.folder("store"))
    #expect(try store.sessions().map(\.configuration.name) == ["lasting"])
    try store.close()
  }

  /// `kill -9` of the daemon: they lie there, marked and not damaged, until a daemon opens the store.
  @Test(arguments: ["process", "ordered"]) func theDaemonsDeathIsTheirs(durability: String) throws {
    let folder = try TemporaryFolder()
    let daemon = try DaemonProcess.serving(folder, ["--durability", durability])
    let connection = try daemon.connect()
    _ = try make(connection, "brief")
    _ = try make(connection, "lasting", ephemeral: false)
    _ = try make(connection, "empty", tokens: 1)
    daemon.killHard()
    let left = try KVStore.openReadOnly(path: folder("store"))
    #expect(try left.sessions().map(\.configuration.ephemeral) == [true, true, false])
    #expect(try left.verify(nil).damage.isEmpty)
    try left.close()
    let next = try DaemonProcess.serving(folder, ["--durability", durability])
    let again = try next.connect()
    #expect(try again.listSessions().map(\.name) == ["lasting"])
    #expect(try again.openSession("lasting").info.tokens == 70)
    #expect(try again.verify().damage.isEmpty)
    try eventually { try again.stats().unreclaimedBytes == 0 }
  }
}
