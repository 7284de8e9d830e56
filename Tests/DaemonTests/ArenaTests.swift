import Glibc
import LagoonClient
import LagoonDaemon
import LagoonProtocol
import Testing

@Suite struct ArenaTests {
  let text = SyntheticText(seed: 3)

  @Test func answersAreTheSameInlineAndThroughTheArena() throws {
    let daemon = try LocalDaemon()
    for bytes in [0, 1 << 20] {
      let connection = try daemon.connect(arenaBytes: bytes)
      #expect(try connection.stats().arenaBytes == bytes)
      let session = try connection.createSession(text.parameters(name: "arena-\(bytes)"))
      try text.expectRightAnswers(session, tokens: 60)
    }
  }

  @Test func callsTooLargeForTheArenaTravelInline() throws {
    let daemon = try LocalDaemon()
    let connection = try daemon.connect(arenaBytes: 64)
    let session = try connection.createSession(text.parameters(name: "s"))
    try text.expectRightAnswers(session, tokens: 20)
  }

  @Test func headMajorTensorsMeanTheSame() throws {
    let daemon = try LocalDaemon()
    let connection = try daemon.connect(arenaBytes: 1 << 16)
    let session = try connection.createSession(text.parameters(name: "s"))
    try text.expectRightAnswers(session, tokens: 20)
    let queries = text.tensor(.queries, layer: 1, tokens: 15..<20)
    let tokenMajor = try session.attend(layer: 1, queries: queries)
    let (tokens, heads, width) = (queries.tokens, queries.heads, queries.headDim)
    var floats = [Float](repeating: 0, count: queries.elementCount)
    queries.withBytes { bytes in
      for (index, value) in bytes.bindMemory(to: Float.self).enumerated() {
        let (token, head, channel) = (index / (heads * width), index / width % heads, index % width)
        floats[(head * tokens + token) * width + channel] = value
      }
    }
    let headMajor = try session.attend(
      layer: 1,
      queries: HostTensor(floats: floats, tokens: tokens, heads: heads, headDim: width, layout: .headMajor))
    for token in 0..<tokens {
      for head in 0..<heads {
        #expect(headMajor.logSumExp[head * tokens + token] == tokenMajor.logSumExp[token * heads + head])
        for channel in 0..<width {
          #expect(
            headMajor.out[(head * tokens + token) * width + channel]
              == tokenMajor.out[(token * heads + head) * width + channel])
        }
      }
    }
  }

  @Test func arenasAboveTheCapsAreRefused() throws {
    var limits = DaemonConfiguration.Limits()
    limits.arenaBytes = 1 << 20
    limits.arenaBytesTotal = 3 << 19
    let daemon = try LocalDaemon(limits: limits)
    func code(_ bytes: Int) -> LagoonError.Code? {
      #expect(throws: LagoonError.self) { _ = try daemon.connect(arenaBytes: bytes) }?.code
    }
    #expect(code(1 << 20 + 1) == .tooLarge)
    #expect(code(.max) == .tooLarge)
    let first = try daemon.connect(arenaBytes: 1 << 20)
    #expect(code(1 << 20) == .overloaded)
    _ = try daemon.connect(arenaBytes: 1 << 19)
    #expect(try first.stats().arenaBytes >= 1 << 20)
    try daemon.expectGoodService()
  }

  @Test func theArenaOfAConnectionThatEndsIsFree() throws {
    let daemon = try LocalDaemon()
    do { _ = try daemon.connect(arenaBytes: 1 << 20) }
    let connection = try daemon.connect()
    try eventually { try connection.stats().arenaBytes == 0 }
  }

  /// Descriptors a raw client got are its own to close; here only the calls matter.
  @Test func regionsOutOfBounds() throws {
    let daemon = try LocalDaemon()
    let client = try daemon.connectRaw()
    try client.hello()
    var create = WireCreateSession()
    create.configuration = try #require(text.parameters(name: "s").wire)
    let handle = try client.call(.createSession(create)).reply.session.handle
    var begin = WireBegin()
    begin.handle = handle
    begin.capacityTokens = 100
    #expect(try client.call(.begin(begin)).failure == nil)

    var tensor = WireTensor()
    tensor.tokens = 4
    tensor.heads = 2
    tensor.headDim = 16
    func append(_ change: (inout WireTensor) -> Void, inline: Int = 0) throws -> WireErrorCode? {
      var call = WireAppend()
      call.target = handle
      var bad = tensor
      change(&bad)
      call.keys = bad
      call.values = bad
      return try client.call(.append(call), tensors: [UInt8](repeating: 0, count: inline)).failure
    }
    // No arena yet.
    #expect(try append { $0.arenaOffset = 0 } == .invalidArgument)
    var arena = WireCreateArena()
    arena.bytes = 4096
    #expect(try client.call(.createArena(arena)).failure == nil)
    #expect(try append { $0.arenaOffset = 0 } == nil)
    #expect(try append { $0.arenaOffset = 4096 - 512 } == nil)
    // A row is 2 * 16 * 4 bytes, so four take 512.
    for offset: UInt64 in [4096 - 508, 4096, 4100, 1 << 32, .max - 3, .max - 511] {
      #expect(try append { $0.arenaOffset = offset } == .invalidArgument, "offset \(offset)")
    }
    #expect(try append { $0.arenaOffset = 2 } == .invalidArgument)
    // Sizes whose product overflows to something small.
    for (tokens, heads, headDim) in [
      (UInt32.max, 2, 16), (1 << 31, 1 << 31, 4), (.max, .max, .max), (1 << 16, 1 << 16, 1 << 31),
      (9, 1 << 30, 1 << 30),
    ] as [(UInt32, UInt32, UInt32)] {
      #expect(
        try append {
          $0.tokens = tokens
          $0.heads = heads
          $0.headDim = headDim
          $0.arenaOffset = 0
        } == .invalidArgument)
    }
    #expect(
      try append {
        $0.tokens = 0
        $0.arenaOffset = 0
      } == .invalidArgument)
    #expect(try append { $0.place = nil } == .invalidArgument)
    #expect(
      try append {
        $0.elementType = .UNRECOGNIZED(9)
        $0.arenaOffset = 0
      } == .invalidArgument)
    #expect(
      try append {
        $0.layout = .UNRECOGNIZED(9)
        $0.arenaOffset = 0
      } == .invalidArgument)
    // Inline tensors have the same rules.
    #expect(try append({ $0.inlineOffset = 0 }, inline: 512) == nil)
    #expect(try append({ $0.inlineOffset = 0 }, inline: 511) == .invalidArgument)
    #expect(try append({ $0.inlineOffset = 0 }) == .invalidArgument)
    #expect(try append({ $0.inlineOffset = .max }, inline: 512) == .invalidArgument)
    try daemon.expectGoodService()
  }

  @Test func outputsOutOfBounds() throws {
    let daemon = try LocalDaemon()
    let session = try daemon.connect().createSession(text.parameters(name: "s"))
    try text.expectRightAnswers(session, tokens: 20)
    let client = try daemon.connectRaw()
    try client.hello()
    var open = WireOpenSession()
    open.name = "s"
    let handle = try client.call(.openSession(open)).reply.session.handle
    var call = WireAttend()
    call.target = handle
    call.queries.tokens = 1
    call.queries.heads = 4
    call.queries.headDim = 16
    call.queries.inlineOffset = 0
    func attend(_ offset: UInt64?) throws -> WireErrorCode? {
      if let offset { call.output.arenaOffset = offset } else { call.clearOutput() }
      return try client.call(.attend(call), tensors: [UInt8](repeating: 0, count: 256)).failure
    }
    #expect(try attend(nil) == nil)
    #expect(try attend(0) == .invalidArgument)
    var arena = WireCreateArena()
    arena.bytes = 1024
    #expect(try client.call(.createArena(arena)).failure == nil)
    // out takes 4 * 16 * 4 bytes and log-sum-exp 4 * 4.
    #expect(try attend(1024 - 272) == nil)
    for offset: UInt64 in [1024 - 268, 1024, .max - 271, 1 << 63, 2] {
      #expect(try attend(offset) == .invalidArgument, "offset \(offset)")
    }
    try daemon.expectGoodService()
  }

  /// A client that changes its arena while the daemon reads it gets its own wrong result or an error, whatever it writes;
  /// another client's results are right meanwhile.
  @Test func scribblingHurtsTheScribblerAlone() throws {
    let daemon = try LocalDaemon()
    let connection = try daemon.connect(arenaBytes: 1 << 20)
    let session = try connection.createSession(text.parameters(name: "scribbled"))
    let scribbler = try Scribbler(on: #require(connection.sharedMemory))
    do {
      defer { scribbler.stop() }
      for _ in 0..<30 {
        try session.begin(capacity: 256)
        do {
          for layer in 0..<2 {
            let rows = text.tensor(.keys, layer: layer, tokens: 0..<256)
            _ = try session.step(
              layer: layer, queries: text.tensor(.queries, layer: layer, tokens: 0..<256), keys: rows,
              values: rows)
          }
          try session.commit(tokenIDs: text.ids(0..<256))
        } catch {
          #expect(error.code == .nonFinite, "\(error)")
          try session.abort()
        }
      }
      try daemon.expectGoodService()
    }
    // What was committed is finite: it was checked after it was copied.
    let rows = try session.fetch(layer: 0)
    #expect(rows.keyFloats.allSatisfy { $0.isFinite })
    #expect(rows.valueFloats.allSatisfy { $0.isFinite })
    #expect(try connection.verify().damage.isEmpty)
  }
}
