import LagoonClient
import Testing

@Suite struct MergedAttentionTests {
  /// A text in three sessions of different lengths, and attention over all of it.
  @Test func partsInSeveralSessionsMergeToTheWholeInAnyOrder() throws {
    let daemon = try LocalDaemon()
    defer { daemon.stop() }
    let connection = try daemon.connect()
    let text = SyntheticText(seed: 7)
    let parts = try [0..<1, 1..<30, 30..<45].map { tokens in
      let session = try connection.createSession(text.parameters(name: "from \(tokens.lowerBound)"))
      try session.begin(capacity: tokens.count)
      for layer in 0..<text.layers {
        try session.append(
          layer: layer, keys: text.tensor(.keys, layer: layer, tokens: tokens),
          values: text.tensor(.values, layer: layer, tokens: tokens))
      }
      try session.commit(tokenIDs: text.ids(tokens))
      return try session.attend(layer: 1, queries: text.tensor(.queries, layer: 1, tokens: 44..<45))
    }
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
      let whole = Attention.merged(order.map { parts[$0] })
      #expect(whole.tokens == 45)
      try text.expect(whole, layer: 1, tokens: 44..<45)
    }
    #expect(Attention.merged([parts[1]]).logSumExp == parts[1].logSumExp)
  }

  @Test func whatSawNothingDoesNotCount() {
    let unseen = Attention(out: [.nan, 5], logSumExp: [-.infinity], tokens: 0)
    let seen = Attention(out: [1, 2], logSumExp: [1e4], tokens: 3)
    #expect(Attention.merged([unseen, seen]) == seen)
    let broken = Attention.merged([seen, Attention(out: [0, 0], logSumExp: [.nan], tokens: 1)])
    #expect(broken.logSumExp[0].isNaN && broken.out.allSatisfy(\.isNaN))
    #expect(
      Attention.merged([unseen, unseen]) == Attention(out: [0, 0], logSumExp: [-.infinity], tokens: 0))
  }
}
