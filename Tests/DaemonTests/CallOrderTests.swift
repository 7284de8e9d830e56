import LagoonClient
import LagoonProtocol
import Testing

/// Calls at the wrong time or about things that are not: a typed error each, and the connection goes on.
@Suite struct CallOrderTests {
  let daemon: LocalDaemon
  let connection: LagoonConnection
  let text = SyntheticText(seed: 5)

  init() throws {
    daemon = try LocalDaemon()
    connection = try daemon.connect()
  }

  /// - Returns: the failure, for a look at its places.
  @discardableResult
  func expect(
    _ code: LagoonError.Code, sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void
  ) throws -> LagoonError {
    let error = try #require(
      #expect(throws: LagoonError.self, sourceLocation: sourceLocation) { try body() },
      sourceLocation: sourceLocation)
    #expect(error.code == code, "\(error)", sourceLocation: sourceLocation)
    #expect(error.requestID > 0, sourceLocation: sourceLocation)
    #expect(error.connectionID == connection.daemon.connectionID, sourceLocation: sourceLocation)
    return error
  }

  func stage(_ session: RemoteSession, layers: Range<Int>, tokens: Range<Int>) throws {
    for layer in layers {
      try session.append(
        layer: layer, keys: text.tensor(.keys, layer: layer, tokens: tokens),
        values: text.tensor(.values, layer: layer, tokens: tokens))
    }
  }

  @Test func nothingBeforeHello() throws {
    let client = try daemon.connectRaw()
    #expect(try client.call(.listSessions(.init())).failure == .invalidArgument)
    try client.hello()
    #expect(try client.call(.listSessions(.init())).failure == nil)
    var again = WireHello()
    again.protocolVersion = 1
    #expect(try client.call(.hello(again)).failure == .invalidArgument)
  }

  @Test func otherProtocolVersion() throws {
    let client = try daemon.connectRaw()
    var hello = WireHello()
    hello.protocolVersion = 2
    #expect(try client.call(.hello(hello)).failure == .unsupportedVersion)
    try client.hello()
  }

  @Test func writingBeforeBegin() throws {
    let session = try connection.createSession(text.parameters(name: "s"))
    let error = try expect(.notBegun) { try stage(session, layers: 0..<1, tokens: 0..<3) }
    #expect(error.session == "s")
    try expect(.notBegun) { try session.commit(tokenIDs: [1]) }
    try expect(.notBegun) {
      _ = try session.step(
        layer: 0, queries: text.tensor(.queries, layer: 0, tokens: 0..<1),
        keys: text.tensor(.keys, layer: 0, tokens: 0..<1),
        values: text.tensor(.values, layer: 0, tokens: 0..<1))
    }
    try text.expectRightAnswers(session, tokens: 10)
  }

  @Test func writingAfterAbortAndCommit() throws {
    let session = try connection.createSession(text.parameters(name: "s"))
    try session.begin(capacity: 10)
    try stage(session, layers: 0..<2, tokens: 0..<3)
    try session.abort()
    try session.abort()
    #expect(!session.info.hasWriter)
    try expect(.notBegun) { try stage(session, layers: 0..<1, tokens: 0..<3) }
    try text.expectRightAnswers(session, tokens: 10)
    try expect(.notBegun) { try stage(session, layers: 0..<1, tokens: 10..<11) }
  }

  @Test func unevenLayers() throws {
    let session = try connection.createSession(text.parameters(name: "s"))
    try session.begin(capacity: 10)
    try stage(session, layers: 0..<1, tokens: 0..<3)
    try expect(.layersUneven) { try session.commit(tokenIDs: text.ids(0..<3)) }
    // The tail is as it was: even it out and commit.
    try stage(session, layers: 1..<2, tokens: 0..<3)
    try expect(.invalidArgument) { try session.commit(tokenIDs: text.ids(0..<2)) }
    try session.commit(tokenIDs: text.ids(0..<3))
    #expect(session.info.tokens == 3)
  }

  @Test func twoWriters() throws {
    let session = try connection.createSession(text.parameters(name: "s"))
    try session.begin(capacity: 10)
    try expect(.busy) { try session.begin(capacity: 10) }
    let other = try daemon.connect()
    let same = try other.openSession("s")
    #expect(same.info.hasWriter)
    #expect { try same.begin(capacity: 10) } throws: { ($0 as? LagoonError)?.code == .busy }
    #expect { try other.deleteSession("s") } throws: { ($0 as? LagoonError)?.code == .busy }
    try session.abort()
    try text.expectRightAnswers(same, tokens: 20)
  }

  @Test func unknownHandlesAndNames() throws {
    try expect(.notFound) { _ = try connection.openSession("nobody") }
    try expect(.notFound) { _ = try connection.describe("nobody") }
    try expect(.notFound) { try connection.deleteSession("nobody") }
    try expect(.notFound) { _ = try connection.verify("nobody") }
    _ = try connection.createSession(text.parameters(name: "s"))
    try expect(.alreadyExists) { _ = try connection.createSession(text.parameters(name: "s")) }

    let client = try daemon.connectRaw()
    try client.hello()
    var begin = WireBegin()
    begin.handle = 12
    begin.capacityTokens = 10
    var close = WireCloseOverlay()
    close.handle = 1
    var append = WireAppend()
    append.target = .max
    var attend = WireAttend()
    attend.target = 0
    let calls: [WireRequest.OneOf_Call] = [
      .begin(begin), .closeOverlay(close), .append(append), .attend(attend), .commit(.init()),
      .abort(.init()),
      .closeSession(.init()), .createOverlay(.init()), .fetch(.init()), .step(.init()),
    ]
    for call in calls { #expect(try client.call(call).failure == .notFound, "\(call)") }
    // Handles are each connection's own.
    var open = WireOpenSession()
    open.name = "s"
    #expect(try client.call(.openSession(open)).reply.session.handle == 1)
  }

  @Test func sessionsAndOverlaysAreNotEachOther() throws {
    let client = try daemon.connectRaw()
    try client.hello()
    var create = WireCreateSession()
    create.configuration = try #require(text.parameters(name: "s").wire)
    let session = try client.call(.createSession(create)).reply.session.handle
    var overlay = WireCreateOverlay()
    overlay.handle = session
    overlay.capacityTokens = 4
    let handle = try client.call(.createOverlay(overlay)).reply.overlay.handle
    #expect(handle != session)
    var close = WireCloseOverlay()
    close.handle = session
    #expect(try client.call(.closeOverlay(close)).failure == .invalidArgument)
    var commit = WireCommit()
    commit.handle = handle
    #expect(try client.call(.commit(commit)).failure == .invalidArgument)
    close.handle = handle
    #expect(try client.call(.closeOverlay(close)).failure == nil)
    #expect(try client.call(.closeOverlay(close)).failure == .notFound)
  }

  @Test func wrongShapes() throws {
    let session = try connection.createSession(text.parameters(name: "s"))
    try session.begin(capacity: 10)
    let keys = text.tensor(.keys, layer: 0, tokens: 0..<3)
    let short = text.tensor(.values, layer: 0, tokens: 0..<2)
    try expect(.invalidArgument) { try session.append(layer: 0, keys: keys, values: short) }
    try expect(.invalidArgument) { try session.append(layer: 2, keys: keys, values: keys) }
    let threeHeads = HostTensor(
      floats: [Float](repeating: 1, count: 3 * 16), tokens: 1, heads: 3, headDim: 16)
    try expect(.invalidArgument) { try session.append(layer: 0, keys: threeHeads, values: threeHeads) }
    let narrow = HostTensor(floats: [Float](repeating: 1, count: 2 * 8), tokens: 1, heads: 2, headDim: 8)
    try expect(.invalidArgument) { try session.append(layer: 0, keys: narrow, values: narrow) }
    try expect(.invalidArgument) { _ = try session.attend(layer: 0, queries: threeHeads) }
    try expect(.invalidArgument) { _ = try session.attend(layer: 9, queries: keys) }
    let many = text.tensor(.keys, layer: 0, tokens: 0..<11)
    let error = try #require(
      #expect(throws: LagoonError.self) { try session.append(layer: 0, keys: many, values: many) })
    #expect([.tooLarge, .stagingFull].contains(error.code), "\(error)")
    try session.abort()
    try text.expectRightAnswers(session, tokens: 10)
  }

  @Test func notFinite() throws {
    let session = try connection.createSession(text.parameters(name: "s"))
    try session.begin(capacity: 10)
    var floats = [Float](repeating: 0.5, count: 3 * 2 * 16)
    // Token 1, head 1, channel 5.
    floats[(1 * 2 + 1) * 16 + 5] = .nan
    let bad = HostTensor(floats: floats, tokens: 3, heads: 2, headDim: 16)
    let good = text.tensor(.keys, layer: 1, tokens: 0..<3)
    let error = try expect(.nonFinite) { try session.append(layer: 1, keys: good, values: bad) }
    #expect(error.session == "s")
    #expect(error.layer == 1)
    #expect(error.head == 1)
    #expect(error.token == 1)
    #expect(error.channel == 5)
    try session.abort()
    try text.expectRightAnswers(session, tokens: 10)
  }

  @Test func otherModelTextAndPlace() throws {
    var parameters = text.parameters(name: "s")
    parameters.fingerprint = [UInt8](repeating: 7, count: 32)
    let session = try connection.createSession(parameters)
    try text.expectRightAnswers(session, tokens: 10)
    try expect(.otherModel) {
      _ = try connection.openSession("s", fingerprint: [UInt8](repeating: 8, count: 32))
    }
    try expect(.invalidArgument) { _ = try connection.openSession("s", fingerprint: [1, 2, 3]) }
    try expect(.otherText) { _ = try connection.openSession("s", prefix: (10, 12345)) }
    let hash = TokenHash.extend(TokenHash.empty, with: text.ids(0..<10))
    #expect(
      try connection.openSession("s", fingerprint: parameters.fingerprint, prefix: (10, hash)).info.tokens
        == 10)
    try expect(.moved) {
      _ = try session.attend(layer: 0, queries: text.tensor(.queries, layer: 0, tokens: 0..<1), ifTokens: 9)
    }
    try expect(.moved) { _ = try session.overlay(capacity: 4, ifTokens: 11) }
    try expect(.moved) { _ = try session.fetch(layer: 0, ifTokens: 0) }
  }

  @Test func impossibleSessions() throws {
    var parameters = text.parameters(name: "")
    try expect(.invalidArgument) { _ = try connection.createSession(parameters) }
    parameters.name = "a\u{7}b"
    try expect(.invalidArgument) { _ = try connection.createSession(parameters) }
    parameters = text.parameters(name: "s")
    parameters.ratio = .nan
    try expect(.invalidArgument) { _ = try connection.createSession(parameters) }
    parameters = text.parameters(name: "s")
    parameters.lag = 0
    try expect(.invalidArgument) { _ = try connection.createSession(parameters) }
    parameters = text.parameters(name: "s")
    parameters.headDim = 1 << 30
    try expect(.invalidArgument) { _ = try connection.createSession(parameters) }
    parameters = text.parameters(name: "s")
    parameters.exemptLayers = [2]
    try expect(.invalidArgument) { _ = try connection.createSession(parameters) }
    #expect(try connection.listSessions().isEmpty)
  }
}
