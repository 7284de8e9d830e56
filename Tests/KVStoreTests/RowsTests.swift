import KVStore
import LagKV
import SparseAttention
import TestSupport
import Testing

/// What is kept depends on the tokens alone: not on cuts, commits, restarts, codec or row layout.
@Suite struct RowsTests {
  static let document = Document(kvHeads: 2, headDim: 16, queryHeads: 4)

  @Test(arguments: ElementType.allCases, PolicyKind.allCases)
  func rowsAreThoseOfTheWholeDocument(type: ElementType, policy: PolicyKind) throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let session = try store.create(
      configuration(document: Self.document, type: type, policy: policy, exempt: [1]))
    try session.ingest(Self.document, pieces(0..<203, 29))
    #expect(try session.holds(Self.document, tokens: 203))
    #expect(try store.verify(nil).damage.isEmpty)
  }

  @Test(arguments: [1, 3, 7, 16, 33, 203], Codec.allCases)
  func cutsDoNotMatter(size: Int, codec: Codec) throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let session = try store.create(configuration(document: Self.document, exempt: [1], codec: codec))
    try session.ingest(Self.document, pieces(0..<203, size), commitEvery: 3)
    #expect(try session.holds(Self.document, tokens: 203))
  }

  @Test(arguments: PolicyKind.allCases, [0, 0.01, 0.5, 1])
  func codecsHoldTheSame(policy: PolicyKind, ratio: Double) throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    for codec in Codec.allCases {
      let session = try store.create(
        configuration(
          codec.name, document: Self.document, type: .float16, policy: policy, ratio: ratio, codec: codec))
      try session.ingest(Self.document, pieces(0..<150, 31))
      #expect(try session.holds(Self.document, tokens: 150))
    }
    let layers = try [Codec.raw, .zstd].map { try store.open($0.name, expecting: .init()).everything(0) }
    #expect(layers[0] == layers[1])
    #expect(try store.verify(nil).damage.isEmpty)
  }

  /// Frames of more than one slab, and of so few bytes that hundreds start in one.
  @Test(arguments: [(heads: 4, dim: 128, lag: 256), (heads: 1, dim: 1, lag: 2)])
  func framesOfAllSizes(shape: (heads: Int, dim: Int, lag: Int)) throws {
    let document = Document(kvHeads: shape.heads, headDim: shape.dim, queryHeads: shape.heads)
    let tokens = shape.lag * (shape.dim == 1 ? 700 : 6)
    let fixture = StoreFixture()
    let store = try fixture.open()
    let session = try store.create(
      configuration(layers: 1, document: document, lag: shape.lag, ratio: 0.9, archive: true, codec: .zstd))
    try session.ingest(document, pieces(0..<tokens, 2 * shape.lag + 1), commitEvery: 2)
    #expect(try session.holds(document, tokens: tokens))
    #expect(try store.verify(nil).damage.isEmpty)
    let p = session.configuration.retention.geometry(layer: 0).scoredPartitions(tokens)
    let expected = ExpectedLayer(document, session.configuration, layer: 0, tokens: tokens)
    for partition in [0, p / 3, p - 1] {
      let bytes =
        (4 + partition * shape.lag) * shape.dim * 4..<(4 + (partition + 1) * shape.lag) * shape.dim * 4
      #expect(
        try session.archived(layer: 0, partition: partition).values == expected.values.flatMap { $0[bytes] })
    }
  }

  @Test(arguments: [0, 1, 3, 4, 5, 19, 20, 21, 35, 36, 37, 51, 52, 53, 100])
  func everyLengthHasItsRows(tokens: Int) throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let session = try store.create(configuration(document: Self.document, type: .bfloat16))
    if tokens > 0 { try session.ingest(Self.document, [0..<tokens]) }
    #expect(try session.holds(Self.document, tokens: tokens))
  }

  /// Shapes whose slabs hold few rows, one row, part of the heads, and whose window partitions span slabs.
  @Test(arguments: [
    (kvHeads: 8, headDim: 128, type: ElementType.bfloat16, lag: 40),
    (kvHeads: 3, headDim: 1024, type: .float32, lag: 5),
    (kvHeads: 21, headDim: 1024, type: .float32, lag: 3),
    (kvHeads: 9, headDim: 1000, type: .float16, lag: 7),
    (kvHeads: 1024, headDim: 1, type: .bfloat16, lag: 4),
    (kvHeads: 1, headDim: 1, type: .float16, lag: 1),
  ])
  func slabShapes(shape: (kvHeads: Int, headDim: Int, type: ElementType, lag: Int)) throws {
    let document = Document(kvHeads: shape.kvHeads, headDim: shape.headDim, queryHeads: shape.kvHeads)
    let fixture = StoreFixture()
    let store = try fixture.open()
    let session = try store.create(
      configuration(layers: 1, document: document, type: shape.type, sinks: 2, lag: shape.lag, ratio: 0.5))
    try session.ingest(document, pieces(0..<5 * shape.lag + 4, shape.lag + 1), commitEvery: 2, capacity: 128)
    #expect(try session.holds(document, tokens: 5 * shape.lag + 4))
    #expect(try store.verify(nil).damage.isEmpty)
  }

  @Test(arguments: Codec.allCases) func restartsDoNotMatter(codec: Codec) throws {
    let fixture = StoreFixture()
    var generator = SeededGenerator(5)
    let cuts = randomPieces(0..<400, most: 60, &generator)
    do {
      let store = try fixture.open()
      _ = try store.create(configuration(document: Self.document, archive: codec != .q8, codec: codec))
      try store.close()
    }
    for cut in cuts {
      let store = try fixture.open()
      let session = try store.open("book", expecting: .init())
      #expect(try session.state().tokens == cut.lowerBound)
      try session.ingest(Self.document, pieces(cut, 13), commitEvery: 2)
      if Bool.random(using: &generator) { try store.close() }
    }
    let store = try fixture.open()
    let session = try store.open("book", expecting: .init())
    #expect(try session.holds(Self.document, tokens: 400))
    #expect(try session.state().tokenHash == TokenHash.extend(0, with: Self.document.ids(0..<400)))
    #expect(try store.verify(nil).damage.isEmpty)
  }

  @Test(arguments: [Codec.raw, .zstd]) func archiveGivesBackWhatWasAppended(codec: Codec) throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let configuration = try configuration(
      document: Self.document, type: .bfloat16, archive: true, codec: codec)
    let session = try store.create(configuration)
    try session.ingest(Self.document, pieces(0..<300, 37))
    let scored = configuration.retention.geometry(layer: 0).scoredPartitions(300)
    #expect(scored == 17)
    for layer in 0..<2 {
      let expected = ExpectedLayer(Self.document, configuration, layer: layer, tokens: 300)
      for p in 0..<scored {
        let archived = try session.archived(layer: layer, partition: p)
        let bytes = (4 + p * 16) * 32..<(4 + (p + 1) * 16) * 32
        #expect(archived.firstPosition == 4 + p * 16)
        #expect(archived.keys == expected.keys.flatMap { $0[bytes] })
        #expect(archived.values == expected.values.flatMap { $0[bytes] })
      }
      #expect(code { _ = try session.archived(layer: layer, partition: scored) } == .invalidArgument)
    }
    let (_, layers) = try store.describe("book")
    #expect(layers[0].archiveBytes > 0)
  }

  @Test func fetchGivesRanges() throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    for codec in Codec.allCases {
      let configuration = try configuration(codec.name, document: Self.document, codec: codec)
      let session = try store.create(configuration)
      try session.ingest(Self.document, [0..<203])
      let expected = ExpectedLayer(Self.document, configuration, layer: 1, tokens: 203)
      let total = expected.positions[0].count
      var generator = SeededGenerator(3)
      for _ in 0..<50 {
        let first = Int.random(in: 0...total, using: &generator)
        let rows = Int.random(in: 0...total, using: &generator)
        let fetched = try session.fetch(layer: 1, firstRow: first, rows: rows, maxBytes: 1 << 20)
        let range = first..<min(total, first + rows)
        #expect(fetched == expected.fetched(range, tokens: 203, rowBytes: 64))
      }
      // A limit of bytes cuts the answer: 5 rows of (4 + 2 · 64) · 2 bytes.
      let few = try session.fetch(layer: 1, firstRow: 2, rows: 100, maxBytes: 5 * 264 + 263)
      #expect(few == expected.fetched(2..<7, tokens: 203, rowBytes: 64))
      let positions = try session.fetch(
        layer: 1, firstRow: 0, rows: total, maxBytes: 1 << 20, positionsOnly: true)
      #expect(positions.positions == expected.positions.flatMap { $0 } && positions.keys.isEmpty)
      #expect(
        code { _ = try session.fetch(layer: 1, firstRow: total + 1, rows: 1, maxBytes: 1 << 20) }
          == .invalidArgument)
      #expect(
        code { _ = try session.fetch(layer: 1, firstRow: 0, rows: 1, ifTokens: 5, maxBytes: 1 << 20) }
          == .moved)
      #expect(
        code { _ = try session.fetch(layer: 2, firstRow: 0, rows: 1, maxBytes: 1 << 20) } == .invalidArgument)
    }
  }
}
