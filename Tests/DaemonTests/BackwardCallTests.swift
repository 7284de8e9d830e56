import LagoonClient
import LagoonProtocol
import Testing

/// A backward pass over the socket: what the store tests is there, typed errors are, and hostile calls harm nobody.
@Suite struct BackwardCallTests {
  let daemon: LocalDaemon
  let text = SyntheticText(seed: 21)
  static let tokens = 70

  init() throws { daemon = try LocalDaemon() }

  private func filled(_ connection: LagoonConnection, archive: Bool = true) throws -> RemoteSession {
    var parameters = text.parameters(name: archive ? "a" : "plain", policy: .lagkv)
    parameters.archive = archive
    let session = try connection.createSession(parameters)
    try session.begin(capacity: Self.tokens)
    for layer in 0..<text.layers {
      func rows(_ kind: SyntheticText.Kind) -> HostTensor {
        text.tensor(kind, layer: layer, tokens: 0..<Self.tokens)
      }
      try session.append(layer: layer, keys: rows(.keys), values: rows(.values))
    }
    try session.commit(tokenIDs: text.ids(0..<Self.tokens))
    return session
  }

  /// The gradient of out is the queries of another layer: anything finite will do.
  private func step(
    _ pass: RemoteBackward, _ session: RemoteSession, layer: Int, _ tokens: Range<Int>,
    dLogSumExp: [Float]? = nil, detachedBefore: Int = 0
  ) throws -> AttentionGradients {
    let queries = text.tensor(.queries, layer: layer, tokens: tokens)
    return try pass.step(
      layer: layer, first: tokens.lowerBound, queries: queries,
      attention: try session.stepAt(layer: layer, first: tokens.lowerBound, queries: queries),
      dOut: text.tensor(.queries, layer: layer + 7, tokens: tokens), dLogSumExp: dLogSumExp,
      detachedBefore: detachedBefore)
  }

  private func code(_ body: () throws -> Void) -> LagoonError.Code? {
    do { try body() } catch { return (error as? LagoonError)?.code }
    return nil
  }

  /// What a chunk drops reaches the store: the last chunk's queries add to nothing below the boundary, and a chunk of the rest
  /// gets what it would get if the session had ended before.
  @Test func earlierChunksCanBeDetached() throws {
    let connection = try daemon.connect()
    let session = try filled(connection)
    let pass = try session.beginBackward(detachedBefore: 40)
    let exact = try session.beginBackward()
    #expect(pass.scratchBytes <= exact.scratchBytes)
    let shortened = try session.beginBackward()
    for layer in (0..<text.layers).reversed() {
      let part = try step(pass, session, layer: layer, 40..<70, detachedBefore: 40)
      let whole = try step(exact, session, layer: layer, 40..<70)
      #expect(part.keys == whole.keys && part.values == whole.values)
      // The same call once more, and another one.
      #expect(try step(pass, session, layer: layer, 40..<70, detachedBefore: 40) == part)
      #expect(code { _ = try step(pass, session, layer: layer, 40..<70, detachedBefore: 39) } == .badOrder)
    }
    for layer in (0..<text.layers).reversed() {
      let part = try step(pass, session, layer: layer, 0..<40)
      let alone = try step(shortened, session, layer: layer, 0..<40)
      let whole = try step(exact, session, layer: layer, 0..<40)
      #expect(part == alone)
      #expect(part.queries == whole.queries && part.keys != whole.keys)
    }
    #expect(code { _ = try session.beginBackward(detachedBefore: 71) } == .invalidArgument)
    let other = try session.beginBackward()
    #expect(code { _ = try step(other, session, layer: 1, 50..<70, detachedBefore: 51) } == .invalidArgument)
    _ = try step(other, session, layer: 1, 50..<70, detachedBefore: 20)
    _ = try step(other, session, layer: 0, 50..<70, detachedBefore: 20)
    #expect(code { _ = try step(other, session, layer: 1, 40..<50, detachedBefore: 21) } == .badOrder)
  }

  /// Inline and through an arena, whole and in chunks, with the log-sum-exp's gradient.
  @Test func transportsAndCutsAgree() throws {
    var results: [[AttentionGradients]] = []
    let inline = try daemon.connect()
    let session = try filled(inline)
    let arena = try LagoonConnection(socketPath: daemon.socketPath, clientName: "tests", arenaBytes: 1 << 20)
    let sums = (0..<Self.tokens * text.queryHeads).map { Float($0 % 7) - 3 }
    for (connection, size) in [(inline, 70), (arena, 70), (arena, 9)] {
      let session = try connection.openSession("a")
      let pass = try session.beginBackward()
      #expect(pass.tokens == Self.tokens && pass.scratchBytes > 0)
      var layers = [[AttentionGradients]](repeating: [], count: text.layers)
      var end = Self.tokens
      while end > 0 {
        let chunk = max(0, end - size)..<end
        let part = Array(sums[chunk.lowerBound * text.queryHeads..<chunk.upperBound * text.queryHeads])
        for layer in (0..<text.layers).reversed() {
          layers[layer].insert(try step(pass, session, layer: layer, chunk, dLogSumExp: part), at: 0)
        }
        end = chunk.lowerBound
      }
      try pass.close()
      results.append(
        layers.map { parts in
          AttentionGradients(
            queries: parts.flatMap(\.queries), keys: parts.flatMap(\.keys), values: parts.flatMap(\.values))
        })
    }
    #expect(results[0] == results[1])
    for layer in 0..<text.layers {
      let (whole, cut) = (results[1][layer], results[2][layer])
      for (a, b) in [(whole.queries, cut.queries), (whole.keys, cut.keys), (whole.values, cut.values)] {
        #expect(a.count == b.count && zip(a, b).allSatisfy { abs($0 - $1) < 1e-4 })
        #expect(a.contains { $0 != 0 })
      }
    }
    try session.close()
  }

  @Test func ordersAndHandlesAreChecked() throws {
    let connection = try daemon.connect()
    let session = try filled(connection)
    let plain = try filled(connection, archive: false)
    #expect(throws: LagoonError.self) { try plain.beginBackward() }
    let pass = try session.beginBackward()
    #expect(code { _ = try step(pass, session, layer: 0, 60..<70) } == .badOrder)
    let first = try step(pass, session, layer: 1, 60..<70)
    #expect(try step(pass, session, layer: 1, 60..<70) == first)
    #expect(code { _ = try step(pass, session, layer: 1, 50..<60) } == .badOrder)
    _ = try step(pass, session, layer: 0, 60..<70)
    // One whose session has grown.
    let other = try session.beginBackward()
    try session.begin(capacity: 1)
    for layer in 0..<text.layers {
      try session.append(
        layer: layer, keys: text.tensor(.keys, layer: layer, tokens: 70..<71),
        values: text.tensor(.values, layer: layer, tokens: 70..<71))
    }
    try session.commit(tokenIDs: [1])
    #expect(code { _ = try step(other, session, layer: 1, 60..<70) } == .moved)
    #expect(code { _ = try step(other, session, layer: 1, 60..<70) } == .backwardLost)
  }

  /// Tensors that do not fit each other, missing ones, and handles of other things.
  @Test func hostileCallsAreTypedErrors() throws {
    let connection = try daemon.connect()
    let session = try filled(connection)
    let client = try daemon.connectRaw()
    try client.hello()
    var open = WireOpenSession()
    open.name = "a"
    guard case .session(let opened)? = try client.call(.openSession(open)).reply.result else {
      Issue.record("no session")
      return
    }
    var begin = WireBeginBackward()
    begin.handle = opened.handle
    guard case .backward(let pass)? = try client.call(.beginBackward(begin)).reply.result else {
      Issue.record("no pass")
      return
    }
    func tensor(tokens: UInt32, heads: UInt32, channels: UInt32) -> WireTensor {
      var tensor = WireTensor()
      (tensor.tokens, tensor.heads, tensor.headDim) = (tokens, heads, channels)
      tensor.inlineOffset = 0
      return tensor
    }
    var call = WireStepBackward()
    call.handle = pass.handle
    call.layer = 1
    call.firstToken = 60
    #expect(try client.call(.stepBackward(call)).failure == .invalidArgument)
    let bytes = [UInt8](repeating: 0, count: 10 * 4 * 16 * 4)
    call.queries = tensor(tokens: 10, heads: 4, channels: 16)
    call.out = call.queries
    call.dOut = call.queries
    for sums in [
      tensor(tokens: 10, heads: 4, channels: 2), tensor(tokens: 9, heads: 4, channels: 1),
      tensor(tokens: 10, heads: 2, channels: 1), tensor(tokens: .max, heads: 4, channels: 1),
    ] {
      call.logSumExp = sums
      #expect(try client.call(.stepBackward(call), tensors: bytes).failure == .invalidArgument)
      call.logSumExp = tensor(tokens: 10, heads: 4, channels: 1)
      call.dLogSumExp = sums
      #expect(try client.call(.stepBackward(call), tensors: bytes).failure == .invalidArgument)
      call.clearDLogSumExp()
    }
    call.firstToken = .max
    #expect(try client.call(.stepBackward(call), tensors: bytes).failure == .invalidArgument)
    call.firstToken = 60
    call.dOut = tensor(tokens: 10, heads: 2, channels: 16)
    #expect(try client.call(.stepBackward(call), tensors: bytes).failure == .invalidArgument)
    call.handle = opened.handle
    #expect(try client.call(.stepBackward(call), tensors: bytes).failure == .invalidArgument)
    var end = WireEndBackward()
    end.handle = opened.handle
    #expect(try client.call(.endBackward(end)).failure == .invalidArgument)
    end.handle = pass.handle
    #expect(try client.call(.endBackward(end)).failure == nil)
    #expect(try client.call(.endBackward(end)).failure == .notFound)
    try session.close()
  }
}
