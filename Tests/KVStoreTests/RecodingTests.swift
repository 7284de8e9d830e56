import Foundation
import KVStore
import LagKV
import SparseAttention
import Testing

/// Rows that are written anew in another codec: the same rows, the same answers, whoever looks meanwhile.
@Suite struct RecodingTests {
  static let document = Document(kvHeads: 2, headDim: 16, queryHeads: 4)

  struct Case: Sendable, CustomTestStringConvertible {
    var kvHeads = 2
    var headDim = 16
    var type = ElementType.float32
    var policy = PolicyKind.lagkv
    var sinks = 4
    var exempt: Set<Int> = []

    var document: Document { Document(kvHeads: kvHeads, headDim: headDim, queryHeads: 2 * kvHeads) }
    var testDescription: String {
      "\(kvHeads) × \(headDim) \(type), \(policy), \(sinks) sinks, exempt \(exempt)"
    }

    func configuration(_ name: String, codec: Codec = .raw) throws -> SessionConfiguration {
      try KVStoreTests.configuration(
        name, document: document, type: type, policy: policy, sinks: sinks, exempt: exempt, codec: codec)
    }
  }

  /// The last one's heads are cut into groups.
  static let cases = [
    Case(), Case(type: .bfloat16, sinks: 0), Case(type: .float16, policy: .full), Case(exempt: [1]),
    Case(kvHeads: 4, headDim: 128), Case(kvHeads: 24, headDim: 1024, policy: .full, sinks: 3),
  ]

  @Test(arguments: cases)
  func rowsAndAnswersStay(_ case: Case) throws {
    let fixture = StoreFixture()
    var store = try fixture.open()
    let document = `case`.document
    let tokens = `case`.kvHeads > 8 ? 120 : 700
    for (name, codec) in [("book", Codec.raw), ("raw", .raw), ("zstd", .zstd)] {
      try store.create(try `case`.configuration(name, codec: codec)).ingest(
        document, pieces(0..<tokens, 61), capacity: 61)
    }

    func expectTheSame(_ codec: Codec, sourceLine: Int = #line) throws {
      let book = try store.open("book")
      for other in try [store.open("raw"), store.open("zstd")] {
        for layer in 0..<2 {
          #expect(try book.everything(layer) == other.everything(layer), "line \(sourceLine)")
          let queries = 1000..<1003
          #expect(
            try book.attend(document, queries: queries, layer: layer)
              == other.attend(document, queries: queries, layer: layer), "line \(sourceLine)")
        }
      }
      // Byte for byte as much as a session that was in that codec from the start.
      let layers = try store.describe("book").1
      #expect(layers.allSatisfy { $0.codec == codec }, "line \(sourceLine)")
      #expect(
        try layers.map(\.storedBytes) == store.describe(codec.name).1.map(\.storedBytes), "line \(sourceLine)"
      )
      #expect(try store.verify(nil).damage.isEmpty, "line \(sourceLine)")
    }

    func grow(_ range: Range<Int>) throws {
      for name in ["book", "raw", "zstd"] {
        try store.open(name).ingest(document, pieces(range, 37), capacity: 37)
      }
    }

    #expect(try store.recode("book", to: .zstd))
    try expectTheSame(.zstd)
    try grow(tokens..<tokens + 90)
    try expectTheSame(.zstd)
    try store.close()
    store = try fixture.open()
    try expectTheSame(.zstd)
    #expect(try store.recode("book", to: .raw))
    try expectTheSame(.raw)
    try grow(tokens + 90..<tokens + 130)
    try expectTheSame(.raw)
    #expect(try store.recode("book", to: .zstd) && store.recode("book", to: .zstd))
    try expectTheSame(.zstd)
    // Nothing of the earlier places is left.
    try store.delete("book")
    try Waiting.until { store.statistics.unreclaimedBytes == 0 }
    #expect(store.statistics.liveBytes == (try store.sessions().reduce(0) { $0 + $1.storedBytes }))
  }

  /// A session before any partition was scored, and an empty one.
  @Test(arguments: [0, 3, 30])
  func fewTokens(_ tokens: Int) throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let session = try store.create(configuration(document: Self.document))
    if tokens > 0 { try session.ingest(Self.document, [0..<tokens]) }
    #expect(try store.recode("book", to: .zstd))
    #expect(try session.holds(Self.document, tokens: tokens))
    try session.ingest(Self.document, pieces(tokens..<100, 7))
    #expect(try session.holds(Self.document, tokens: 100))
    #expect(try store.recode("book", to: .raw))
    #expect(try session.holds(Self.document, tokens: 100))
    #expect(try store.verify(nil).damage.isEmpty)
  }

  /// Whatever ends it early: the session is as it was, and what was written is reclaimed.
  @Test func whatIsInTheWay() throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let session = try store.create(configuration(document: Self.document, policy: .full))
    try session.ingest(Self.document, pieces(0..<2000, 500))
    let account = StagingAccount(cap: 1 << 30)
    var tokens = 2000
    func commit() throws {
      try session.ingest(Self.document, [tokens..<tokens + 5])
      tokens += 5
    }
    func expectUntouched(sourceLine: Int = #line) throws {
      #expect(try store.describe("book").1.allSatisfy { $0.codec == .raw }, "line \(sourceLine)")
      #expect(try session.holds(Self.document, tokens: tokens), "line \(sourceLine)")
      #expect(try store.verify(nil).damage.isEmpty, "line \(sourceLine)")
      let stored = try session.state().storedBytes
      try Waiting.until { store.statistics.liveBytes == stored }
    }

    let writing = try session.begin(capacity: 8, owner: account)
    #expect(code { _ = try store.recode("book", to: .zstd) } == .busy)
    writing.abort()
    try expectUntouched()
    let overlay = try session.overlay(capacity: 8, owner: account)
    let second = try session.overlay(capacity: 8, owner: account)
    overlay.abort()
    #expect(code { _ = try store.recode("book", to: .zstd) } == .busy)
    second.abort()
    try expectUntouched()
    for step in [1, 2, 5] {
      var steps = 0
      let isDone = try store.recode("book", to: .zstd) {
        steps += 1
        return steps < step
      }
      #expect(!isDone)
      #expect(steps == step)
      try expectUntouched()
    }
    var commits = 0
    let moved = code {
      _ = try store.recode("book", to: .zstd) {
        if commits == 0, (try? commit()) != nil { commits += 1 }
        return true
      }
    }
    #expect(moved == .moved && commits == 1)
    try expectUntouched()
    // Two at once.
    var inner: StoreError.Code?
    let isDone = try store.recode("book", to: .zstd) {
      inner = inner ?? code { _ = try store.recode("book", to: .zstd) }
      return true
    }
    #expect(isDone)
    #expect(inner == .busy)
    #expect(try session.holds(Self.document, tokens: tokens))
    // A deletion does not wait for it.
    let deleted = code {
      _ = try store.recode("book", to: .raw) {
        try? store.delete("book")
        return true
      }
    }
    #expect(deleted == .notFound)
    try Waiting.until { store.statistics.liveBytes == 0 }
    #expect(try store.verify(nil).damage.isEmpty)
  }

  @Test func sessionsThatAreNeverRecoded() throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    _ = try store.create(configuration("archive", document: Self.document, archive: true))
    _ = try store.create(configuration("q8", document: Self.document, codec: .q8))
    _ = try store.create(configuration("zstd", document: Self.document, codec: .zstd))
    _ = try store.create(configuration("brief", document: Self.document, ephemeral: true))
    for name in ["archive", "q8", "zstd", "brief"] {
      #expect(code { _ = try store.recode(name, to: .zstd) } == .invalidArgument)
    }
    #expect(code { _ = try store.recode("nobody", to: .zstd) } == .notFound)
  }

  /// One that failed, and whose end could not be written either, does not stand in the way of the next.
  @Test func whatOneLeavesBehindIsDropped() throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let session = try store.create(configuration(document: Self.document))
    try session.ingest(Self.document, pieces(0..<200, 50))
    try store.leaveRecoding()
    #expect(try store.recode("book", to: .zstd))
    #expect(try session.holds(Self.document, tokens: 200))
    try Waiting.until { store.statistics.liveBytes == (try session.state().storedBytes) }
    #expect(try store.verify(nil).damage.isEmpty)
  }

  @Test func aFullStoreRefuses() throws {
    let fixture = StoreFixture()
    let store = try fixture.open(quota: 16 << 20)
    let session = try store.create(
      configuration(document: QuotaTests.document, policy: .full, sinks: 0, lag: 64))
    _ = #expect(throws: StoreError.self) { _ = try QuotaTests.fill(session, from: 0) }
    let tokens = try session.state().tokens
    #expect(code { _ = try store.recode("book", to: .zstd) } == .quotaExceeded)
    #expect(try session.holds(QuotaTests.document, tokens: tokens))
    #expect(try store.verify(nil).damage.isEmpty)
  }

  /// The store as a crash would leave it after every step.
  @Test func deathOnTheWay() throws {
    let fixture = StoreFixture()
    let crashed = StoreFixture()
    let store = try fixture.open()
    let session = try store.create(configuration(document: Self.document, policy: .full))
    try session.ingest(Self.document, pieces(0..<1000, 500))
    var steps = 0
    func expectSound() throws {
      let files = FileManager.default
      try? files.removeItem(atPath: crashed.path)
      try files.createDirectory(atPath: crashed.path, withIntermediateDirectories: true)
      try files.copyItem(atPath: fixture.dataFile, toPath: crashed.dataFile)
      _ = files.createFile(atPath: "\(crashed.path)/lagoon.lock", contents: nil)
      #expect(try KVStore.openReadOnly(path: crashed.path).verify(nil).damage.isEmpty)
      let other = try crashed.open()
      #expect(try other.open("book").holds(Self.document, tokens: 1000))
      #expect(try other.verify(nil).damage.isEmpty)
      let stored = try other.open("book").state().storedBytes
      try Waiting.until { other.statistics.liveBytes == stored }
      #expect(try other.recode("book", to: .zstd))
      #expect(try other.open("book").holds(Self.document, tokens: 1000))
      try other.close()
    }
    var soundSteps = 0
    let isDone = try store.recode("book", to: .zstd) {
      steps += 1
      if (try? expectSound()) != nil { soundSteps += 1 }
      return true
    }
    #expect(isDone && steps > 3 && soundSteps == steps)
    try expectSound()
  }

  /// Readers and writers beside it see nothing of it but, at most, a short wait.
  @Test func everyoneElseGoesOn() throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let session = try store.create(configuration(document: Self.document, policy: .full))
    try session.ingest(Self.document, pieces(0..<2000, 500))
    let expected = try session.attend(Self.document, queries: 5000..<5001, layer: 1)
    let others = try store.create(configuration("other", document: Self.document))
    let failures = Failures()
    let group = DispatchGroup()
    let done = Flag()
    for _ in 0..<2 {
      DispatchQueue.global().async(group: group) {
        while !done.isSet {
          do {
            let found = try session.attend(Self.document, queries: 5000..<5001, layer: 1, ifTokens: 2000)
            if found != expected { failures.add("another answer") }
          } catch { failures.add("\(error)") }
        }
      }
    }
    DispatchQueue.global().async(group: group) {
      var tokens = 0
      while !done.isSet {
        do {
          try others.ingest(Self.document, [tokens..<tokens + 20])
          tokens += 20
          // Writers and overlays of the session itself come and go; both are let in at once.
          let account = StagingAccount(cap: 1 << 30)
          try session.begin(capacity: 8, owner: account).abort()
          try session.overlay(capacity: 8, owner: account).abort()
        } catch { failures.add("\(error)") }
      }
    }
    var recoded = 0
    for i in 0..<40 {
      let codec = i.isMultiple(of: 2) ? Codec.zstd : .raw
      let refusal = code { _ = try store.recode("book", to: codec) }
      if refusal == nil { recoded += 1 }
      #expect(refusal == nil || refusal == .busy)
    }
    done.set()
    group.wait()
    #expect(failures.all.isEmpty)
    #expect(recoded > 0)
    #expect(try session.holds(Self.document, tokens: 2000))
    #expect(try store.verify(nil).damage.isEmpty)
  }
}
