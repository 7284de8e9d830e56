import Foundation
import LagoonClient
import LagoonProtocol
import Testing

/// What a connection's end does, and what it does not do to others.
@Suite struct ConnectionEndTests {
  let daemon: LocalDaemon
  let text = SyntheticText(seed: 13)

  init() throws { daemon = try LocalDaemon() }

  @Test func dyingMidChunkLeavesNothingAndFreesTheWriter() throws {
    let watcher = try daemon.connect()
    do {
      let connection = try daemon.connect()
      let session = try connection.createSession(text.parameters(name: "s"))
      try text.expectRightAnswers(session, tokens: 10)
      try session.begin(capacity: 50)
      // One layer of two has its rows when the client goes.
      try session.append(
        layer: 0, keys: text.tensor(.keys, layer: 0, tokens: 10..<40),
        values: text.tensor(.values, layer: 0, tokens: 10..<40))
      #expect(try watcher.describe("s").info.hasWriter)
    }
    try eventually { try !watcher.describe("s").info.hasWriter }
    #expect(try watcher.stats().stagedBytes == 0)
    let session = try watcher.openSession("s")
    #expect(session.info.tokens == 10)
    try session.begin(capacity: 10)
    try session.abort()
    try daemon.expectGoodService()
  }

  @Test func dyingInsideAFrameFreesTheWriter() throws {
    let client = try daemon.connectRaw()
    try client.hello()
    var create = WireCreateSession()
    create.configuration = try #require(text.parameters(name: "s").wire)
    var begin = WireBegin()
    begin.handle = try client.call(.createSession(create)).reply.session.handle
    begin.capacityTokens = 10
    #expect(try client.call(.begin(begin)).reply.session.state.hasWriter_p)
    client.send(requestID: 9, messageBytes: 500, tensorBytes: 1000)
    client.send([UInt8](repeating: 1, count: 100))
    client.finishSending()
    let watcher = try daemon.connect()
    try eventually { try !watcher.describe("s").info.hasWriter }
    try watcher.openSession("s").begin(capacity: 10)
  }

  @Test func aClientThatTakesNoRepliesIsCutOff() throws {
    var timeouts = LocalDaemon.defaultTimeouts
    timeouts.send = 200
    let daemon = try LocalDaemon(timeouts: timeouts)
    let client = try daemon.connectRaw()
    try client.hello()
    var request = WireRequest()
    request.stats = .init()
    let message: [UInt8] = try request.serializedBytes()
    let frame = FrameHeader(requestID: 1, messageBytes: message.count, tensorBytes: 0).encoded + message
    for _ in 0..<20_000 { client.send(frame) }
    let watcher = try daemon.connect()
    try eventually { try watcher.stats().connections == 1 }
    try daemon.expectGoodService()
  }

  @Test func twoClientsAtOnceGetEachTheirOwn() async throws {
    let daemon = self.daemon
    try await withThrowingTaskGroup(of: Void.self) { group in
      for index in 0..<4 {
        group.addTask {
          let connection = try daemon.connect(arenaBytes: index % 2 == 0 ? 1 << 20 : 0)
          let text = SyntheticText(seed: 1000 + UInt64(index))
          let session = try connection.createSession(text.parameters(name: "client \(index)"))
          try text.expectRightAnswers(session, tokens: 70)
        }
      }
      try await group.waitForAll()
    }
    let watcher = try daemon.connect()
    #expect(try watcher.listSessions().map(\.name) == (0..<4).map { "client \($0)" })
    #expect(try watcher.verify().damage.isEmpty)
  }

  @Test func overlaysSeeTheirMomentAndChangeNothing() throws {
    let connection = try daemon.connect()
    let session = try connection.createSession(text.parameters(name: "s"))
    try text.expectRightAnswers(session, tokens: 30)
    let overlay = try session.overlay(capacity: 10, ifTokens: 30)
    #expect(overlay.tokens == 30)
    for layer in 0..<2 {
      let result = try overlay.step(
        layer: layer, queries: text.tensor(.queries, layer: layer, tokens: 30..<35),
        keys: text.tensor(.keys, layer: layer, tokens: 30..<35),
        values: text.tensor(.values, layer: layer, tokens: 30..<35))
      try text.expect(result, layer: layer, tokens: 30..<35)
    }
    let last = try overlay.attend(layer: 1, queries: text.tensor(.queries, layer: 1, tokens: 34..<35))
    try text.expect(last, layer: 1, tokens: 34..<35)
    try overlay.close()
    #expect(try connection.describe("s").info.tokens == 30)
  }

  @Test func fetchGivesEveryRowInOrder() throws {
    let connection = try daemon.connect()
    let session = try connection.createSession(text.parameters(name: "s", policy: .lagkv))
    try session.begin(capacity: 200)
    for layer in 0..<2 {
      try session.append(
        layer: layer, keys: text.tensor(.keys, layer: layer, tokens: 0..<200),
        values: text.tensor(.values, layer: layer, tokens: 0..<200))
    }
    try session.commit(tokenIDs: text.ids(0..<200))
    let whole = try session.fetch(layer: 1)
    let details = try connection.describe("s").layers[1]
    #expect(whole.totalRows == details.keptRows + details.windowRows)
    #expect(whole.rows == 0..<whole.totalRows)
    let keys = whole.keyFloats
    for head in 0..<2 {
      let positions = Array(whole.positions(head: head))
      #expect(positions == positions.sorted())
      #expect(Array(positions.prefix(4)) == [0, 1, 2, 3])
      #expect(positions.last == 199)
      for (row, position) in positions.enumerated() {
        #expect(
          keys[(head * whole.totalRows + row) * 16 + 3]
            == text.element(.keys, layer: 1, token: Int(position), head: head, channel: 3))
      }
    }
    let part = try session.fetch(layer: 1, rows: 5..<17)
    #expect(
      part.positions(head: 1) == whole.positions(head: 1)[(whole.totalRows + 5)..<(whole.totalRows + 17)])
    #expect(try session.fetch(layer: 1, rows: 60..<1_000_000).rows == 60..<whole.totalRows)
    #expect(try session.fetch(layer: 1, positionsOnly: true).positions == whole.positions)
  }

  @Test func longRangesTakeSeveralReplies() throws {
    var limits = LocalDaemon.defaultLimits
    limits.fetchBytes = 10_000
    let daemon = try LocalDaemon(limits: limits)
    let session = try daemon.connect().createSession(text.parameters(name: "s"))
    try text.expectRightAnswers(session, tokens: 130)
    let rows = try session.fetch(layer: 0)
    #expect(rows.rows == 0..<130)
    #expect(rows.positions(head: 1).elementsEqual((0..<130).map(UInt32.init)))
    let values = rows.valueFloats
    for token in [0, 33, 34, 129] {
      #expect(
        values[(130 + token) * 16] == text.element(.values, layer: 0, token: token, head: 1, channel: 0))
    }
  }

  /// A client that takes no reply keeps its request from finishing; stopping waits for it only so long.
  @Test func stoppingCutsOffWhoeverDoesNotFinish() throws {
    var timeouts = LocalDaemon.defaultTimeouts
    timeouts.stop = 100
    let daemon = try LocalDaemon(timeouts: timeouts)
    let session = try daemon.connect().createSession(text.parameters(name: "s"))
    try text.expectRightAnswers(session, tokens: 300)
    let client = try daemon.connectRaw()
    try client.hello()
    var open = WireOpenSession()
    open.name = "s"
    var fetch = WireFetch()
    fetch.handle = try client.call(.openSession(open)).reply.session.handle
    fetch.rows = 300
    // Each reply has 300 rows of 2 heads: more than the socket takes of 100 of them.
    for request in 0..<100 { try client.send(.fetch(fetch), requestID: UInt64(request)) }
    let watcher = try daemon.connect()
    // It stands still once nobody but the watcher has been served for ten looks in a row.
    var (served, looks) = (0, 0)
    try eventually {
      usleep(20_000)
      let requests = try Int(watcher.stats().requests)
      looks = requests == served + 1 ? looks + 1 : 0
      served = requests
      return looks == 10
    }
    #expect(!daemon.daemon.stop())
    try daemon.daemon.store.close()
  }

  /// A request that has arrived in part, up to inside its header, its message or its tensors, has not begun: it is refused,
  /// and nobody is to blame for the end of the stream.
  @Test(arguments: [31, 32, 40, 150]) func stoppingRefusesWhatHasNotArrived(bytes: Int) throws {
    let client = try daemon.connectRaw()
    try client.hello()
    let frame = FrameHeader(requestID: 9, messageBytes: 100, tensorBytes: 1000).encoded
    client.send(Array((frame + [UInt8](repeating: 0, count: 1100)).prefix(bytes)))
    #expect(daemon.daemon.stop())
    let received = try #require(try client.receive())
    #expect(received.failure == .shuttingDown)
    #expect(received.requestID == (bytes < 32 ? 0 : 9))
    try client.expectEnd()
  }

  @Test func stoppingFinishesWhatIsUnderWay() throws {
    let connection = try daemon.connect()
    let session = try connection.createSession(text.parameters(name: "s"))
    try text.expectRightAnswers(session, tokens: 10)
    #expect(daemon.daemon.stop())
    let error = #expect(throws: LagoonError.self) { _ = try connection.listSessions() }
    #expect([.shuttingDown, .connectionLost].contains(error?.code))
    #expect { _ = try daemon.connect() } throws: { ($0 as? LagoonError)?.code == .cannotConnect }
    #expect(!FileManager.default.fileExists(atPath: daemon.socketPath))
    #expect(try daemon.daemon.store.describe("s").0.tokens == 10)
  }
}
