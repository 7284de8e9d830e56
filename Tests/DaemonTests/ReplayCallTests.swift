import LagoonClient
import LagoonProtocol
import Testing

/// `step_at` over the socket: the bits of `step`, and typed errors.
@Suite struct ReplayCallTests {
  let daemon: LocalDaemon
  let text = SyntheticText(seed: 9)

  init() throws { daemon = try LocalDaemon() }

  @Test(arguments: [0, 1 << 20]) func givesTheBitsOfStep(_ arenaBytes: Int) throws {
    let connection = try LagoonConnection(
      socketPath: daemon.socketPath, clientName: "tests", arenaBytes: arenaBytes)
    var parameters = text.parameters(name: "a", policy: .lagkv)
    parameters.archive = true
    let session = try connection.createSession(parameters)
    try session.begin(capacity: 90)
    var first: [Attention] = []
    for layer in 0..<text.layers {
      func rows(_ kind: SyntheticText.Kind) -> HostTensor { text.tensor(kind, layer: layer, tokens: 0..<90) }
      first.append(
        try session.step(layer: layer, queries: rows(.queries), keys: rows(.keys), values: rows(.values)))
    }
    try session.commit(tokenIDs: text.ids(0..<90))
    for layer in (0..<text.layers).reversed() {
      func rows(_ kind: SyntheticText.Kind) -> HostTensor { text.tensor(kind, layer: layer, tokens: 13..<71) }
      let again = try session.stepAt(
        layer: layer, first: 13, queries: rows(.queries), rows: (rows(.keys), rows(.values)))
      let width = text.queryHeads * text.headDim
      #expect(again.out == Array(first[layer].out[13 * width..<71 * width]))
      #expect(again.logSumExp == Array(first[layer].logSumExp[13 * text.queryHeads..<71 * text.queryHeads]))
      #expect(again.tokens == 71)

      let swapped = #expect(throws: LagoonError.self) {
        try session.stepAt(
          layer: layer, first: 13, queries: rows(.queries), rows: (rows(.values), rows(.keys)))
      }
      #expect(swapped?.code == .recomputeMismatch)
      #expect(swapped?.layer == layer && swapped?.token == 13)
      let late = #expect(throws: LagoonError.self) {
        try session.stepAt(layer: layer, first: 40, queries: rows(.queries))
      }
      #expect(late?.code == .invalidArgument)
    }
  }

  /// What a client may write into the message, the daemon answers.
  @Test func hostilePositionsAreTypedErrors() throws {
    let client = try daemon.connectRaw()
    try client.hello()
    var call = WireStepAt()
    call.handle = 7
    call.firstToken = .max
    #expect(try client.call(.stepAt(call)).failure == .notFound)
    #expect(try client.call(.listSessions(.init())).failure == nil)
  }
}
