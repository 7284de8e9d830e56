import LagoonClient
import LagoonDaemon
import LagoonProtocol
import Testing

/// `list_sessions` of more sessions than one reply takes.
@Suite struct ListCallTests {
  let text = SyntheticText(seed: 71)

  /// A daemon of small pages with sessions of these names, made in this order.
  private func serving(
    sessions: Int = 4, recordBytes: Int = 1 << 20, _ names: [String], exemptLayers: Set<Int> = []
  ) throws -> LocalDaemon {
    var limits = LocalDaemon.defaultLimits
    limits.listedSessions = sessions
    limits.listedSessionBytes = recordBytes
    let daemon = try LocalDaemon(limits: limits)
    let connection = try daemon.connect()
    for name in names {
      var parameters = text.parameters(name: name, policy: .lagkv)
      parameters.layers = max(2, exemptLayers.count)
      parameters.exemptLayers = exemptLayers
      try connection.createSession(parameters).close()
    }
    return daemon
  }

  private func page(
    _ client: RawClient, after: [UInt8] = [], limit: UInt32 = 0
  ) throws -> (names: [String], more: Bool) {
    var call = WireListSessions()
    call.after = .init(after)
    call.limit = limit
    let list = try client.call(.listSessions(call)).reply.sessions
    return (list.sessions.map(\.configuration.name), list.more)
  }

  @Test func pagesFollowEachOther() throws {
    // In order of bytes: capitals first, what is not ASCII last, a prefix before what it begins.
    let sorted = ["B", "a", "a b", "ab", "b", "be\u{301}", "b\u{E9}", "\u{4E16}", "\u{1F30A}"]
    let daemon = try serving(sorted.reversed())
    let client = try daemon.connectRaw()
    try client.hello()
    func expect(
      _ after: String, _ limit: UInt32, _ range: Range<Int>, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
      let (names, more) = try page(client, after: Array(after.utf8), limit: limit)
      #expect(
        names.map { Array($0.utf8) } == sorted[range].map { Array($0.utf8) }, sourceLocation: sourceLocation)
      #expect(more == (range.upperBound < sorted.count), sourceLocation: sourceLocation)
    }
    // Who asks for nothing, as clients of before did, gets the first page; who asks for too much gets no more.
    for limit in [0, 4, 100, .max] as [UInt32] { try expect("", limit, 0..<4) }
    try expect("", 3, 0..<3)
    try expect("ab", 0, 4..<8)
    try expect("\u{4E16}", 0, 8..<9)
    try expect("b\u{E9}", 2, 7..<9)
    try expect("\u{1F30A}", 0, 9..<9)
    // Names that are no session's: gone, or never there.
    try daemon.connect().deleteSession("ab")
    #expect(try page(client, after: Array("ab".utf8), limit: 1).names == ["b"])
    #expect(try page(client, after: Array("a".utf8), limit: 2).names == ["a b", "b"])
    #expect(try page(client, after: [0xFF], limit: 2).names.isEmpty)
    #expect(try page(client, after: [0], limit: 1).names == ["B"])
    #expect(try page(client, after: [UInt8](repeating: 0x61, count: 5000), limit: 1).names == ["b"])
  }

  @Test func clientsSeeAll() throws {
    let names = (0..<130).map { "session \($0)" }
    let daemon = try serving(sessions: 25, names.shuffled())
    let listed = try daemon.connect().listSessions().map(\.name)
    #expect(listed == names.sorted())
    #expect(try daemon.connect().stats().sessions == 130)
  }

  /// Few large sessions fill a reply, and one is listed however large it is.
  @Test(arguments: [(1, 1), (2000, 1), (2500, 2), (5000, 3)])
  func largeOnesTakeMoreReplies(recordBytes: Int, listed: Int) throws {
    let names = (0..<7).map { "session \($0)" }
    // Records of 164 bytes, 9 of name and 2 for each exempt layer.
    let daemon = try serving(sessions: 100, recordBytes: recordBytes, names, exemptLayers: Set(0..<1000))
    let client = try daemon.connectRaw()
    try client.hello()
    let first = try page(client)
    #expect(first.names == Array(names.prefix(listed)) && first.more)
    #expect(try daemon.connect().listSessions().map(\.name) == names)
  }
}
