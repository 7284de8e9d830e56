import LagoonClient
import Testing

/// Codecs over the wire: what they are called, what they keep, and what they cost an answer.
@Suite struct CodecTests {
  let text = SyntheticText(seed: 77)

  private func made(_ connection: LagoonConnection, _ codec: Codec, policy: PolicyKind = .lagkv, tokens: Int)
    throws -> RemoteSession
  {
    var parameters = text.parameters(name: codec.name, policy: policy)
    parameters.codec = codec
    let session = try connection.createSession(parameters)
    try session.begin(capacity: 50)
    for start in stride(from: 0, to: tokens, by: 50) {
      let chunk = start..<start + 50
      for layer in 0..<text.layers {
        try session.append(
          layer: layer, keys: text.tensor(.keys, layer: layer, tokens: chunk),
          values: text.tensor(.values, layer: layer, tokens: chunk))
      }
      try session.commit(tokenIDs: text.ids(chunk), keepWriting: true)
    }
    try session.abort()
    return session
  }

  @Test func losslessOnesAnswerAlikeAndEightBitsNearly() throws {
    let daemon = try LocalDaemon()
    let connection = try daemon.connect(arenaBytes: 1 << 20)
    let queries = text.tensor(.queries, layer: 1, tokens: 990..<1000)
    let answers = try Codec.allCases.map { codec in
      let session = try made(connection, codec, tokens: 1000)
      #expect(session.parameters.codec == codec)
      let details = try connection.describe(codec.name)
      #expect(details.layers.allSatisfy { $0.codec == codec })
      #expect(details.info.parameters.codec == codec)
      return try session.attend(layer: 1, queries: queries)
    }
    #expect(answers[0].out == answers[1].out && answers[0].logSumExp == answers[1].logSumExp)
    // Rows are between -1 and 1, so a step is at most 2 / 255 and an element half of one off; a logit sums 16 products and a
    // weighted value averages.
    let worst = zip(answers[0].out, answers[2].out).map { abs($0 - $1) }.max() ?? 1
    #expect(worst > 0 && worst < 0.01, "\(worst)")
    let positions = try Codec.allCases.map {
      try connection.openSession($0.name).fetch(layer: 1, positionsOnly: true)
    }
    #expect(positions[0].positions == positions[2].positions)
    #expect(try connection.verify().damage.isEmpty)
  }

  /// Through `lagoond`'s own option and thread.
  @Test func whatNobodyUsesIsCompressedAndWhatIsUsedAgainIsNot() throws {
    let folder = try TemporaryFolder()
    let daemon = try DaemonProcess.serving(folder, ["--cold-after", "1s"])
    let connection = try daemon.connect(arenaBytes: 1 << 20)
    let session = try made(connection, .raw, policy: .full, tokens: 4000)
    let queries = text.tensor(.queries, layer: 1, tokens: 3990..<4000)
    let before = try session.attend(layer: 1, queries: queries)

    try eventually { try connection.stats().demotions == 1 }
    #expect(try connection.describe(Codec.raw.name).layers.allSatisfy { $0.codec == .zstd })
    let compressed = try session.attend(layer: 1, queries: queries)
    #expect(compressed.out == before.out && compressed.logSumExp == before.logSumExp)

    // Reading goes on until the thread has seen it: more than four times, and never a second without.
    try eventually {
      for layer in 0..<text.layers { _ = try session.attend(layer: layer, queries: queries) }
      return try connection.stats().promotions == 1
    }
    let after = try session.attend(layer: 1, queries: queries)
    #expect(after.out == before.out && after.logSumExp == before.logSumExp)
    #expect(try connection.verify().damage.isEmpty)
  }

  @Test func eightBitsRefuseAnArchive() throws {
    let daemon = try LocalDaemon()
    let connection = try daemon.connect()
    var parameters = text.parameters(name: "s")
    (parameters.codec, parameters.archive) = (.q8, true)
    let refusal = #expect(throws: LagoonError.self) { _ = try connection.createSession(parameters) }
    #expect(refusal?.code == .invalidArgument && refusal?.message.contains("archive") == true)
    #expect(try connection.listSessions().isEmpty)
    try daemon.expectGoodService()
  }
}
