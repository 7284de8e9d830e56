import GoldenCases
import KVStore
import LagKV
import SparseAttention
import Testing

extension GoldenCase {
  /// Calls `body` with a view of some tokens of a tensor `[heads, tokens, headDim]`.
  func view<R>(_ name: String, _ tokens: Range<Int>? = nil, _ body: (TensorView) throws -> R) throws -> R {
    let tensor = try tensors.tensor(name)
    return try tensors.floats(name).withUnsafeBytes { bytes in
      let view = TensorView.headMajor(
        bytes.baseAddress!, elementType: .float32, tokens: tensor.shape[1], heads: tensor.shape[0],
        headDim: tensor.shape[2])
      return try body(tokens.map { view.slice(tokens: $0) } ?? view)
    }
  }
}

@Suite struct GoldenTests {
  @Test func allCasesAreThere() { #expect(GoldenCase.fixtures.count == 22) }

  /// Kept positions exactly, attention within 5e-6, through the store: every cut, both codecs, with a restart half way.
  @Test(arguments: GoldenCase.fixtures, [1, 7, 64, 4096])
  func golden(_ golden: GoldenCase, cut: Int) throws {
    let codec: Codec = cut == 7 ? .zstd : .raw
    let fixture = StoreFixture()
    var store = try fixture.open()
    let c = try SessionConfiguration(
      name: golden.name, layers: 1, kvHeads: golden.kvHeads, headDim: golden.headDim,
      elementType: golden.sessionType,
      retention: golden.retention,
      codec: codec)
    _ = try store.create(c)
    var out = [Float](repeating: .nan, count: golden.tokens * golden.queryHeads * golden.headDim)
    var lse = [Float](repeating: .nan, count: golden.tokens * golden.queryHeads)
    for half in [0..<golden.tokens / 2, golden.tokens / 2..<golden.tokens] {
      let session = try store.open(golden.name, expecting: .init())
      let tail = try session.begin(capacity: golden.tokens, owner: StagingAccount(cap: 1 << 30))
      for tokens in pieces(half, cut) {
        try golden.view("k", tokens) { keys in
          try golden.view("v", tokens) { values in
            guard golden.kind == .lrsa else { return try tail.append(layer: 0, keys: keys, values: values) }
            try golden.view("q", tokens) { queries in
              try out.withUnsafeMutableBytes { o in
                try lse.withUnsafeMutableBytes { l in
                  try tail.step(
                    layer: 0, queries: queries, keys: keys, values: values,
                    out: MutableTensorView.headMajor(
                      o.baseAddress!, tokens: golden.tokens, heads: golden.queryHeads, headDim: golden.headDim
                    ).slice(tokens: tokens),
                    logSumExp: LogSumExpView.headMajor(
                      l.baseAddress!, tokens: golden.tokens, heads: golden.queryHeads
                    )
                    .slice(tokens: tokens))
                }
              }
            }
          }
        }
      }
      try tail.commit(tokenIDs: half.map(UInt32.init))
      try store.close()
      store = try fixture.open()
    }
    let session = try store.open(golden.name, expecting: .init())
    let rows = try session.fetch(
      layer: 0, firstRow: 0, rows: golden.tokens, maxBytes: 1 << 30, positionsOnly: true)
    #expect(rows.positions.map(Int.init) == (try golden.integers("retained")))
    if golden.kind == .attention {
      try golden.view("q") { queries in
        out = [Float](repeating: .nan, count: queries.tokens * golden.queryHeads * golden.headDim)
        lse = [Float](repeating: .nan, count: queries.tokens * golden.queryHeads)
        try out.withUnsafeMutableBytes { o in
          try lse.withUnsafeMutableBytes { l in
            let tokens = try session.attend(
              layer: 0, queries: queries,
              out: .headMajor(
                o.baseAddress!, tokens: queries.tokens, heads: golden.queryHeads, headDim: golden.headDim),
              logSumExp: .headMajor(l.baseAddress!, tokens: queries.tokens, heads: golden.queryHeads))
            #expect(tokens == golden.tokens)
          }
        }
      }
    }
    for (name, got) in [("out", out), ("lse", lse)] {
      let want = try golden.floats(name)
      #expect(want.count == got.count)
      let worst = zip(want, got).map { abs($0 - $1) }.max() ?? .infinity
      #expect(worst < 5e-6, "\(name) is off by \(worst)")
    }
  }
}
