import Foundation
import KVStore
import Testing

/// The writer thread: groups, a bad one among them, readers that lag.
@Suite struct WriterTests {
  static let document = Document(kvHeads: 2, headDim: 16, queryHeads: 2)

  /// Eight commits and a change that fails, queued behind a busy writer: one transaction is tried with all, then each alone.
  @Test(arguments: [false, true]) func oneBadOfAGroupFailsAlone(bad: Bool) throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let document = Self.document
    let names = (0..<8).map { "book \($0)" }
    for name in names { _ = try store.create(configuration(name, document: document)) }
    let before = store.statistics.commitGroups
    let done = DispatchGroup()
    try store.withWriterHeld {
      for name in names {
        done.thread {
          let failure = code { try store.open(name, expecting: .init()).ingest(document, [0..<50]) }
          #expect(failure == nil)
        }
      }
      if bad {
        done.thread {
          #expect(
            code { _ = try store.create(configuration("book 3", document: document)) } == .alreadyExists)
        }
      }
      try Waiting.until { store.queuedWrites == (bad ? 9 : 8) }
    }
    done.wait()
    for name in names { #expect(try store.open(name, expecting: .init()).holds(document, tokens: 50)) }
    // The held job's group, and one group or each alone.
    #expect(store.statistics.commitGroups - before == (bad ? 9 : 2))
    #expect(store.statistics.commits == 8)
  }

  /// A commit over many layers leaves its buffers to the next one, and after a while of nothing but a few go back to the system; also
  /// those of a tail that was not committed.
  @Test func buffersOfLargeCommitsStayForTheNextAlone() throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let session = try store.create(configuration(layers: 50, document: Self.document, policy: .full))
    var tokens = 0
    // Again if this thread was held up for a second.
    try Waiting.until {
      try session.ingest(Self.document, [tokens..<tokens + 500], capacity: 512)
      tokens += 500
      return store.freeStagingBuffers > 128
    }
    try Waiting.until { store.freeStagingBuffers == 128 }
    let tail = try session.begin(capacity: 512, owner: StagingAccount(cap: 1 << 30))
    try tail.append(Self.document, tokens..<tokens + 500)
    #expect(store.freeStagingBuffers < 128)
    tail.abort()
    try Waiting.until { store.freeStagingBuffers == 128 }
    #expect(try session.holds(Self.document, tokens: tokens))
  }

  /// A reader that stays on its snapshot makes commits wait, but not for ever, and the file grows by what it pins alone.
  @Test func aLaggingReaderIsWaitedForButNotForEver() throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let session = try store.create(configuration(document: Self.document, lag: 64))
    try session.ingest(Self.document, [0..<100])
    let before = store.statistics.fileBytes
    try store.withSnapshotHeld {
      try session.ingest(Self.document, pieces(100..<168, 1))
    }
    // Every commit rewrites a window slab and perhaps a kept one, of two layers.
    #expect(store.statistics.fileBytes - before <= 70 * 4 * 69_632 + 70 * 20 * 4096)
    let grown = store.statistics.fileBytes
    try session.ingest(Self.document, pieces(168..<300, 1))
    #expect(store.statistics.fileBytes == grown)
    #expect(try session.holds(Self.document, tokens: 300))
  }

  /// Sessions that come and go without a pause: each round's commits reclaim what they need of the last round's sessions, and the file stays as it is
  /// but for gaps.
  @Test func commitsReclaimWhatTheyNeed() throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    // 16 heads of 128 f32: four rows fill a slab.
    let wide = Document(kvHeads: 16, headDim: 128, queryHeads: 16)
    var bytes: [Int] = []
    for round in 0..<5 {
      let name = "book \(round)"
      let session = try store.create(
        configuration(name, document: wide, type: .float32, policy: .full, sinks: 0, lag: 16))
      try session.ingest(wide, pieces(0..<1000, 16), capacity: 16)
      bytes.append(store.statistics.fileBytes)
      #expect(try session.holds(wide, tokens: 1000), "round \(round)")
      try store.delete(name)
    }
    #expect(bytes[0] > 500 * 69_632)
    #expect(bytes[4] - bytes[1] <= 16 * 69_632, "\(bytes)")
    try Waiting.until { store.statistics.unreclaimedBytes == 0 }
    #expect(try store.verify(nil).damage.isEmpty)
  }

  /// The record of a deleted session is damaged, its magic or its count of slabs: that is reported, commits go on, and the session's
  /// slabs are reclaimed all the same.
  @Test(arguments: [0, 14]) func aDamagedTombstoneStopsNothing(atByte offset: Int) throws {
    let fixture = StoreFixture()
    let document = Document(kvHeads: 16, headDim: 128, queryHeads: 16)
    do {
      let store = try fixture.open()
      for name in ["gone", "book"] {
        let session = try store.create(
          configuration(name, document: document, type: .float32, policy: .full, sinks: 0, lag: 16))
        try session.ingest(document, pieces(0..<64, 16), capacity: 16)
      }
      try store.delete("gone")
      try store.close()
    }
    let place = URL(fileURLWithPath: fixture.dataFile)
    var file = try Data(contentsOf: place)
    var from = file.startIndex
    while let magic = file.range(of: Data("LGTS".utf8), in: from..<file.endIndex) {
      file[magic.lowerBound + offset] ^= 4
      from = magic.upperBound
    }
    try file.write(to: place)
    do {
      let damage = try KVStore.openReadOnly(path: fixture.path).verify(nil).damage
      #expect(damage.map(\.message) == ["a deleted session's record is damaged"])
    }
    let store = try fixture.open()
    #expect(store.statistics.liveBytes > 0)
    let session = try store.open("book", expecting: .init())
    try session.ingest(document, pieces(64..<128, 16), capacity: 16)
    #expect(try session.holds(document, tokens: 128))
    try Waiting.until { try store.verify(nil).damage.isEmpty }
    #expect(store.statistics.liveBytes == (try session.state().storedBytes))
  }

  /// A store that is dropped or closed with work queued finishes the work.
  @Test func closingDrainsTheQueue() throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let document = Self.document
    for i in 0..<4 { _ = try store.create(configuration("book \(i)", document: document)) }
    let done = DispatchGroup()
    try store.withWriterHeld {
      for i in 0..<4 {
        done.thread {
          #expect(code { try store.open("book \(i)", expecting: .init()).ingest(document, [0..<50]) } == nil)
        }
      }
      try Waiting.until { store.queuedWrites == 4 }
    }
    try store.close()
    done.wait()
    let again = try fixture.open()
    for i in 0..<4 { #expect(try again.open("book \(i)", expecting: .init()).holds(document, tokens: 50)) }
  }
}
