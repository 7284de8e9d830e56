import LagoonClient
import LagoonDaemon
import LagoonProtocol
import Testing

/// What the daemon will not give: a typed refusal, and room again once somebody lets go.
@Suite struct CapTests {
  let text = SyntheticText(seed: 8)

  @Test func connections() throws {
    var limits = DaemonConfiguration.Limits()
    limits.connections = 3
    let daemon = try LocalDaemon(limits: limits)
    var open = try (0..<3).map { _ in try daemon.connect() }
    #expect(open[0].daemon.limits.connections == 3)
    for _ in 0..<5 {
      #expect { _ = try daemon.connect() } throws: { ($0 as? LagoonError)?.code == .overloaded }
    }
    #expect(try open[2].listSessions().isEmpty)
    open.removeLast()
    try eventually { (try? daemon.connect()) != nil }
    // The daemon sees an end a moment after the client has made it.
    open.removeSubrange(1...)
    try eventually { try open[0].stats().connections == 1 }
    try daemon.expectGoodService()
  }

  @Test func handles() throws {
    var limits = DaemonConfiguration.Limits()
    limits.handlesPerConnection = 4
    let daemon = try LocalDaemon(limits: limits)
    let connection = try daemon.connect()
    let session = try connection.createSession(text.parameters(name: "s"))
    try text.expectRightAnswers(session, tokens: 10)
    var overlays = try (0..<3).map { _ in try session.overlay(capacity: 1) }
    #expect { _ = try session.overlay(capacity: 1) } throws: { ($0 as? LagoonError)?.code == .overloaded }
    #expect { _ = try connection.openSession("s") } throws: { ($0 as? LagoonError)?.code == .overloaded }
    #expect { _ = try connection.createSession(text.parameters(name: "t")) } throws: {
      ($0 as? LagoonError)?.code == .overloaded
    }
    #expect(try connection.listSessions().map(\.name) == ["s"])
    // Dropping an object closes its handle.
    overlays.removeLast()
    _ = try connection.openSession("s")
    try daemon.expectGoodService()
  }

  @Test func stagedBytes() throws {
    let daemon = try LocalDaemon(stagedBytesTotal: 6 << 20, stagedBytesPerOwner: 4 << 20)
    let connection = try daemon.connect()
    #expect(connection.daemon.limits.stagedBytesPerConnection == 4 << 20)
    let session = try connection.createSession(text.parameters(name: "s"))
    #expect { try session.begin(capacity: 10_000_000) } throws: { ($0 as? LagoonError)?.code == .tooLarge }
    #expect { try session.begin(capacity: .max) } throws: { ($0 as? LagoonError)?.code == .tooLarge }
    // One token a partition, one row a slab: the sizes nearest to overflowing.
    var thin = text.parameters(name: "thin")
    thin.lag = 1
    var wide = SessionParameters(name: "wide", layers: 1, kvHeads: 8, headDim: 1024, elementType: .float32)
    wide.codec = .zstd
    var rounded = wide
    (rounded.name, rounded.codec) = ("rounded", .q8)
    for parameters in [thin, wide, rounded] {
      let extreme = try connection.createSession(parameters)
      for capacity in [Int.max, Int.max - 1, 1 << 62, 1 << 32] {
        #expect { try extreme.begin(capacity: capacity) } throws: {
          ($0 as? LagoonError)?.code == .tooLarge
        }
        #expect { _ = try extreme.overlay(capacity: capacity) } throws: {
          ($0 as? LagoonError)?.code == .tooLarge
        }
      }
    }
    #expect { try session.begin(capacity: 0) } throws: { ($0 as? LagoonError)?.code == .invalidArgument }
    try session.begin(capacity: 100)
    let used = try connection.stats().stagedBytes
    #expect(used > 0)
    // As many overlays as fit, then no more; when they go, there is room.
    var overlays: [RemoteOverlay] = []
    let refusal = #expect(throws: LagoonError.self) {
      while overlays.count < 200 { overlays.append(try session.overlay(capacity: 100)) }
    }
    #expect(refusal?.code == .stagingFull)
    #expect(!overlays.isEmpty)
    for overlay in overlays { try overlay.close() }
    #expect(try connection.stats().stagedBytes == used)
    try session.abort()
    #expect(try connection.stats().stagedBytes == 0)
    try text.expectRightAnswers(session, tokens: 20)
  }

  @Test func oneFrame() throws {
    let daemon = try LocalDaemon()
    let connection = try daemon.connect()
    let session = try connection.createSession(text.parameters(name: "s"))
    try session.begin(capacity: 10)
    // More tensor bytes than a frame carries are refused before they are sent, and the connection goes on.
    let huge = [Float](repeating: 0, count: 9 << 20)
    let tensor = HostTensor(floats: huge, tokens: huge.count / 32, heads: 2, headDim: 16)
    #expect { try session.append(layer: 0, keys: tensor, values: tensor) } throws: {
      ($0 as? LagoonError)?.code == .tooLarge
    }
    #expect { try session.commit(tokenIDs: [UInt32](repeating: .max, count: 400_000)) } throws: {
      ($0 as? LagoonError)?.code == .tooLarge
    }
    try session.abort()
    try text.expectRightAnswers(session, tokens: 10)
  }

  /// Results larger than a frame: queries of two bytes an element have results of four.
  @Test func results() throws {
    var limits = DaemonConfiguration.Limits()
    limits.frames.tensorBytes = 64 << 10
    let daemon = try LocalDaemon(limits: limits)
    let connection = try daemon.connect()
    var parameters = text.parameters(name: "s")
    parameters.elementType = .bfloat16
    let session = try connection.createSession(parameters)
    let elements = 312 * 4 * 16
    let bytes = [UInt8](repeating: 0, count: elements * 2)
    let queries = HostTensor(bytes: bytes, elementType: .bfloat16, tokens: 312, heads: 4, headDim: 16)
    #expect { _ = try session.attend(layer: 0, queries: queries) } throws: {
      ($0 as? LagoonError)?.code == .tooLarge
    }
    // The client saw that coming; one that does not look is told so.
    let client = try daemon.connectRaw()
    try client.hello()
    var open = WireOpenSession()
    open.name = "s"
    var attend = WireAttend()
    attend.target = try client.call(.openSession(open)).reply.session.handle
    attend.queries = try #require(queries.wire(at: .inlineOffset(0)))
    #expect(try client.call(.attend(attend), tensors: bytes).failure == .tooLarge)
    let fits = try daemon.connect(arenaBytes: 1 << 20)
    _ = try fits.openSession("s").attend(layer: 0, queries: queries)
    try daemon.expectGoodService()
  }
}
