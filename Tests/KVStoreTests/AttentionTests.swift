import Foundation
import KVStore
import LagKV
import SparseAttention
import TestSupport
import Testing

/// `step` and `attend` against plain attention in f64, and against themselves: cut, committed, reopened, overlaid.
@Suite struct AttentionTests {
  static let document = Document(kvHeads: 2, headDim: 16, queryHeads: 4)
  static let tokens = 150

  /// Steps the document in the given cuts, committing after each `commitEvery` of them.
  static func steps(
    _ session: Session, _ cuts: [Range<Int>], layer: Int, commitEvery: Int = .max
  ) throws -> Attended {
    let tail = try session.begin(capacity: 512, owner: StagingAccount(cap: 1 << 30))
    var result = Attended()
    var ids: [UInt32] = []
    for (i, cut) in cuts.enumerated() {
      for other in 0..<session.configuration.layers where other != layer {
        try tail.append(document, cut, layers: other..<other + 1)
      }
      result = result + (try tail.step(document, cut, layer: layer))
      ids += document.ids(cut)
      if (i + 1) % commitEvery == 0 {
        try tail.commit(tokenIDs: ids, keepWriting: true)
        ids = []
      }
    }
    try tail.commit(tokenIDs: ids)
    return result
  }

  /// f64 attention of one query over rows at the given positions.
  static func plain(
    _ query: ArraySlice<Float>, _ expected: ExpectedLayer, head: Int, positions: [Int]
  ) -> (out: [Double], logSumExp: Double) {
    let dim = document.headDim
    func row(_ source: [UInt8], _ t: Int) -> [Double] {
      source.withUnsafeBytes { bytes in
        (0..<dim).map { Double(bytes.loadUnaligned(fromByteOffset: (t * dim + $0) * 4, as: Float.self)) }
      }
    }
    let q = query.map(Double.init)
    let logits = positions.map { t in
      zip(q, row(expected.keys[head], t)).reduce(0) { $0 + $1.0 * $1.1 } / Double(dim).squareRoot()
    }
    let most = logits.max() ?? 0
    let weights = logits.map { exp($0 - most) }
    let sum = weights.reduce(0, +)
    var out = [Double](repeating: 0, count: dim)
    for (weight, t) in zip(weights, positions) {
      for (c, value) in row(expected.values[head], t).enumerated() { out[c] += weight / sum * value }
    }
    return (out, most + log(sum))
  }

  /// Layer by layer, as a model steps, with one frame, then several, in view: each layer reads its own, whatever the layer before
  /// it read last, also where a layer keeps more rows of a partition than its neighbours.
  @Test(arguments: [Set<Int>(), [1]])
  func layersDoNotSeeEachOthersFrames(exempt: Set<Int>) throws {
    func answers(_ codec: Codec) throws -> [Attended] {
      let fixture = StoreFixture()
      let store = try fixture.open()
      let session = try store.create(
        configuration(layers: 3, document: Self.document, exempt: exempt, codec: codec))
      let tail = try session.begin(capacity: 512, owner: StagingAccount(cap: 1 << 30))
      var answers: [Attended] = []
      var start = 0
      for end in [20, 36, 52, 60, 68, 84, 150] {
        for layer in 0..<3 { answers.append(try tail.step(Self.document, start..<end, layer: layer)) }
        for layer in 0..<3 { answers.append(try tail.attend(Self.document, queries: 0..<2, layer: layer)) }
        if end > 60 { try tail.commit(tokenIDs: Self.document.ids(tail.baseTokens..<end), keepWriting: true) }
        start = end
      }
      return answers
    }
    #expect(try answers(.zstd) == answers(.raw))
  }

  @Test func stepIsTheMaskedAttentionOfTheWholeDocument() throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let c = try configuration(document: Self.document)
    let session = try store.create(c)
    let got = try Self.steps(session, [0..<Self.tokens], layer: 1)
    let expected = ExpectedLayer(Self.document, c, layer: 1, tokens: Self.tokens)
    let queries = Self.document.rows(.queries, layer: 1, 0..<Self.tokens)
    let (sinks, lag) = (c.retention.sinks, c.retention.lag)
    for t in 0..<Self.tokens {
      for head in 0..<4 {
        let kept = Set(expected.positions[head / 2].prefix(expected.keptRows).map(Int.init))
        let visible = (0...t).filter { s in
          s < sinks || t < sinks || (t - sinks) / lag - (s - sinks) / lag <= 1 || kept.contains(s)
        }
        let index = (t * 4 + head) * 16
        let want = Self.plain(queries[index..<index + 16], expected, head: head / 2, positions: visible)
        for channel in 0..<16 {
          #expect(abs(Double(got.out[index + channel]) - want.out[channel]) < 2e-6)
        }
        #expect(abs(Double(got.logSumExp[t * 4 + head]) - want.logSumExp) < 4e-6)
      }
    }
  }

  @Test(arguments: ElementType.allCases, Codec.allCases)
  func stepIsTheSameBitsHoweverItIsCut(type: ElementType, codec: Codec) throws {
    let fixture = StoreFixture()
    let store = try fixture.open(pool: WorkerPool(threads: 2))
    var generator = SeededGenerator(11)
    let whole = 0..<Self.tokens
    let cuts: [([Range<Int>], Int)] = [
      ([whole], .max), (pieces(whole, 1), .max), (pieces(whole, 1), 3), (pieces(whole, 7), 1),
      (pieces(whole, 16), 2), (randomPieces(whole, most: 40, &generator), 1),
      (randomPieces(whole, most: 90, &generator), 2),
    ]
    let results = try cuts.enumerated().map { i, cut in
      let session = try store.create(
        configuration(
          "cut \(i)", document: Self.document, type: type, archive: i == 3 && codec != .q8, codec: codec))
      return try Self.steps(session, cut.0, layer: 1, commitEvery: cut.1)
    }
    for result in results { #expect(result == results[0]) }
  }

  /// Committed rows, the same after a restart, the same in memory, with both lossless codecs: one result, bit for bit.
  @Test(arguments: [[Codec.raw, .zstd], [.q8]]) func attendIsTheSameBitsWhereverTheRowsAre(codecs: [Codec])
    throws
  {
    let fixture = StoreFixture()
    var results: [Attended] = []
    do {
      let store = try fixture.open()
      for codec in codecs {
        let session = try store.create(configuration(codec.name, document: Self.document, codec: codec))
        let overlay = try session.overlay(capacity: 512, owner: StagingAccount(cap: 1 << 30))
        for cut in pieces(0..<Self.tokens, 11) { try overlay.append(Self.document, cut) }
        results.append(try overlay.attend(Self.document, queries: 500..<505, layer: 0))
        try session.ingest(Self.document, pieces(0..<Self.tokens, 11))
        results.append(try session.attend(Self.document, queries: 500..<505, layer: 0))
        #expect(code { _ = try overlay.attend(Self.document, queries: 0..<1, layer: 0) } == .moved)
      }
      try store.close()
    }
    let store = try fixture.open(pool: WorkerPool(threads: 2))
    for codec in codecs {
      let session = try store.open(codec.name, expecting: .init())
      results.append(try session.attend(Self.document, queries: 500..<505, layer: 0, ifTokens: Self.tokens))
      #expect(
        code { _ = try session.attend(Self.document, queries: 500..<505, layer: 0, ifTokens: 3) } == .moved)
    }
    for result in results { #expect(result == results[0]) }
    let c = try configuration(document: Self.document, codec: codecs[0])
    let expected = ExpectedLayer(Self.document, c, layer: 0, tokens: Self.tokens)
    let queries = Self.document.rows(.queries, layer: 0, 500..<501)
    for head in 0..<4 {
      let want = Self.plain(
        queries[head * 16..<(head + 1) * 16], expected, head: head / 2,
        positions: expected.positions[head / 2].map(Int.init))
      #expect(abs(Double(results[0].logSumExp[head]) - want.logSumExp) < 2e-6)
      for channel in 0..<16 {
        #expect(abs(Double(results[0].out[head * 16 + channel]) - want.out[channel]) < 2e-6)
      }
    }
  }

  /// Few queries go through more rows in a snapshot than many do. A row of 96 heads takes two slabs; blocks of one row of 8
  /// heads fill more than 512 slabs.
  @Test(arguments: [(96, 128, Codec.raw, 1.0, 700), (96, 128, .zstd, 1, 300), (8, 1024, .q8, 0.5, 1500)])
  func aQuerysBitsDoNotDependOnThoseBesideIt(
    kvHeads: Int, headDim: Int, codec: Codec, ratio: Double, tokens: Int
  ) throws {
    let document = Document(kvHeads: kvHeads, headDim: headDim, queryHeads: kvHeads)
    let fixture = StoreFixture()
    let session = try fixture.open().create(
      configuration(layers: 1, document: document, sinks: 0, lag: 2, ratio: ratio, codec: codec))
    try session.ingest(document, pieces(0..<tokens, 50), commitEvery: 2, capacity: 100)
    let many = try session.attend(document, queries: 0..<20, layer: 0)
    let row = kvHeads * headDim
    for query in [0, 13] {
      let one = try session.attend(document, queries: query..<query + 1, layer: 0)
      #expect(one.out[...] == many.out[query * row..<(query + 1) * row])
      #expect(one.logSumExp[...] == many.logSumExp[query * kvHeads..<(query + 1) * kvHeads])
    }
  }

  /// What is remembered of the window's slabs does not grow with all that ever were in it.
  @Test func slabsThatLeftTheWindowAreForgotten() throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let session = try store.create(
      configuration(layers: 1, document: Self.document, sinks: 0, lag: 2, ratio: 0.5))
    var remembered: [Int] = []
    for start in stride(from: 0, to: 400, by: 100) {
      try session.ingest(Self.document, [start..<start + 100])
      _ = try session.attend(Self.document, queries: 0..<1, layer: 0)
      remembered.append(store.rememberedSlabs)
    }
    #expect(remembered[0] > 0 && remembered.allSatisfy { $0 <= 2 + 200 / 32 }, "\(remembered)")
  }

  @Test func anEmptySessionGivesNothing() throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let session = try store.create(configuration(document: Self.document))
    let result = try session.attend(Self.document, queries: 0..<3, layer: 0)
    #expect(result.tokens == 0)
    #expect(result.out.allSatisfy { $0 == 0 } && result.logSumExp.allSatisfy { $0 == -.infinity })
  }

  /// Two overlays at once go on as the writer would, and neither changes the session.
  @Test(arguments: Codec.allCases) func overlaysGoOnAsTheWriterWould(codec: Codec) throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let half = 77
    let whole = try store.create(configuration("whole", document: Self.document, codec: codec))
    let expected = try Self.steps(whole, [0..<half, half..<Self.tokens], layer: 0)
    let session = try store.create(configuration(document: Self.document, codec: codec))
    try session.ingest(Self.document, [0..<half])
    let before = try session.everything(0)
    let account = StagingAccount(cap: 1 << 30)
    let first = try session.overlay(capacity: 100, owner: account, ifTokens: half)
    let second = try session.overlay(capacity: 100, owner: account)
    var results = [Attended(), Attended()]
    for cut in pieces(half..<Self.tokens, 9) {
      results[0] = results[0] + (try first.step(Self.document, cut, layer: 0))
      if cut.lowerBound < 110 { results[1] = results[1] + (try second.step(Self.document, cut, layer: 0)) }
    }
    let count = (Self.tokens - half) * 4
    #expect(results[0].logSumExp == Array(expected.logSumExp.suffix(count)))
    #expect(results[0].out == Array(expected.out.suffix(count * 16)))
    #expect(results[1].logSumExp == Array(results[0].logSumExp.prefix(results[1].logSumExp.count)))
    #expect(
      try first.attend(Self.document, queries: 0..<2, layer: 0)
        == whole.attend(Self.document, queries: 0..<2, layer: 0))
    #expect(try session.everything(0) == before)
    #expect(code { _ = try first.commit(tokenIDs: []) } == .notBegun)
    #expect(code { _ = try session.overlay(capacity: 9, owner: account, ifTokens: 3) } == .moved)
    first.abort()
    #expect(code { _ = try first.attend(Self.document, queries: 0..<1, layer: 0) } == .notBegun)
  }

  /// Queries, rows and results that lie head by head give what those that lie token by token give.
  @Test func layoutsDoNotMatter() throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let session = try store.create(configuration(document: Self.document))
    let expected = try Self.steps(session, [0..<60], layer: 0)
    let overlay = try store.create(configuration("empty", document: Self.document)).overlay(
      capacity: 60, owner: StagingAccount(cap: 1 << 30))
    func headMajor(_ part: Document.Part, _ heads: Int) -> [Float] {
      let rows = Self.document.rows(part, layer: 0, 0..<60)
      var result: [Float] = []
      for head in 0..<heads {
        for token in 0..<60 {
          let start = (token * heads + head) * 16
          result += rows[start..<start + 16]
        }
      }
      return result
    }
    var (out, lse) = ([Float](repeating: 0, count: 60 * 64), [Float](repeating: 0, count: 240))
    try headMajor(.queries, 4).withUnsafeBytes { q in
      try headMajor(.keys, 2).withUnsafeBytes { k in
        try headMajor(.values, 2).withUnsafeBytes { v in
          try out.withUnsafeMutableBytes { o in
            try lse.withUnsafeMutableBytes { l in
              func view(_ bytes: UnsafeRawBufferPointer, _ heads: Int) -> TensorView {
                .headMajor(bytes.baseAddress!, elementType: .float32, tokens: 60, heads: heads, headDim: 16)
              }
              try overlay.step(
                layer: 0, queries: view(q, 4), keys: view(k, 2), values: view(v, 2),
                out: .headMajor(o.baseAddress!, tokens: 60, heads: 4, headDim: 16),
                logSumExp: .headMajor(l.baseAddress!, tokens: 60, heads: 4))
            }
          }
        }
      }
    }
    for t in 0..<60 {
      for h in 0..<4 {
        let (here, there) = (h * 60 + t, t * 4 + h)
        #expect(lse[here] == expected.logSumExp[there])
        #expect(out[here * 16..<here * 16 + 16] == expected.out[there * 16..<there * 16 + 16])
      }
    }
  }
}
