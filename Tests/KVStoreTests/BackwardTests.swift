import Foundation
import GoldenCases
import KVStore
import LagKV
import SparseAttention
import Testing

/// A backward pass over a session, against the gradients of a masked full pass.
@Suite struct BackwardTests {
  /// Everything that a pass gives, `[tokens, heads, headDim]` each.
  struct Gradients: Equatable {
    var queries: [Float]
    var keys: [Float]
    var values: [Float]
  }

  /// A golden LRSA case in a session of three equal layers, with the forward pass's results.
  final class Filled {
    let golden: GoldenCase
    let store: KVStore
    let session: Session
    private let fixture = StoreFixture()
    let layers = 3
    /// `[heads, tokens, …]`, as the goldens have it.
    var out: [Float]
    var lse: [Float]

    /// - Parameters:
    ///   - type: of the session, in place of the case's.
    ///   - rounding: keys and values to bf16, before they go in.
    init(
      _ golden: GoldenCase, codec: Codec, type: ElementType? = nil, quota: Int = 1 << 30,
      rounding: Bool = false
    ) throws {
      self.golden = golden
      store = try fixture.open(quota: quota)
      session = try store.create(
        SessionConfiguration(
          name: golden.name, layers: layers, kvHeads: golden.kvHeads, headDim: golden.headDim,
          elementType: type ?? golden.sessionType,
          retention: golden.retention, archive: true, codec: codec))
      out = [Float](repeating: .nan, count: golden.tokens * golden.queryHeads * golden.headDim)
      lse = [Float](repeating: .nan, count: golden.tokens * golden.queryHeads)
      let tail = try session.begin(capacity: golden.tokens, owner: StagingAccount(cap: 1 << 30))
      for tokens in pieces(0..<golden.tokens, 13) {
        try rows("k", tokens, rounding) { keys in
          try rows("v", tokens, rounding) { values in
            for layer in 0..<layers {
              try golden.view("q", tokens) { queries in
                try withResults { out, lse in
                  try tail.step(
                    layer: layer, queries: queries, keys: keys, values: values,
                    out: out.slice(tokens: tokens),
                    logSumExp: lse.slice(tokens: tokens))
                }
              }
            }
          }
        }
        try tail.commit(tokenIDs: tokens.map(UInt32.init), keepWriting: true)
      }
      tail.abort()
    }

    private func rows(
      _ name: String, _ tokens: Range<Int>, _ rounding: Bool, _ body: (TensorView) throws -> Void
    ) throws {
      guard rounding else { return try golden.view(name, tokens, body) }
      let rounded = try golden.floats(name).map { value in
        Float(bitPattern: (value.bitPattern &+ 0x7FFF &+ (value.bitPattern >> 16 & 1)) & 0xFFFF_0000)
      }
      try rounded.withUnsafeBytes { bytes in
        try body(
          TensorView.headMajor(
            bytes.baseAddress!, elementType: .float32, tokens: golden.tokens, heads: golden.kvHeads,
            headDim: golden.headDim
          ).slice(tokens: tokens))
      }
    }

    private func withResults(_ body: (MutableTensorView, LogSumExpView) throws -> Void) throws {
      try out.withUnsafeMutableBytes { o in
        try lse.withUnsafeMutableBytes { l in
          try body(
            .headMajor(
              o.baseAddress!, tokens: golden.tokens, heads: golden.queryHeads, headDim: golden.headDim),
            .headMajor(l.baseAddress!, tokens: golden.tokens, heads: golden.queryHeads))
        }
      }
    }

    /// One call; the gradients of its tokens.
    func step(_ pass: BackwardPass, layer: Int, _ tokens: Range<Int>, scaled: Float = 1) throws -> Gradients {
      func empty(_ heads: Int) -> [Float] {
        [Float](repeating: .nan, count: tokens.count * heads * golden.headDim)
      }
      var result = Gradients(
        queries: empty(golden.queryHeads), keys: empty(golden.kvHeads), values: empty(golden.kvHeads))
      func place(_ bytes: UnsafeMutableRawBufferPointer, _ heads: Int) -> MutableTensorView {
        .tokenMajor(bytes.baseAddress!, tokens: tokens.count, heads: heads, headDim: golden.headDim)
      }
      try withResults { out, lse in
        try golden.view("q", tokens) { queries in
          let w = try golden.floats("w").map { $0 * scaled }
          var u = try golden.floats("u").map { $0 * scaled }  // empty where a case has none
          try w.withUnsafeBytes { bytes in
            let dOut = TensorView.headMajor(
              bytes.baseAddress!, elementType: .float32, tokens: golden.tokens, heads: golden.queryHeads,
              headDim: golden.headDim
            ).slice(tokens: tokens)
            try u.withUnsafeMutableBytes { bytes in
              let dSums =
                bytes.isEmpty
                ? nil
                : bytes.baseAddress.map {
                  LogSumExpView.headMajor($0, tokens: golden.tokens, heads: golden.queryHeads)
                    .slice(tokens: tokens)
                }
              try result.queries.withUnsafeMutableBytes { q in
                try result.keys.withUnsafeMutableBytes { k in
                  try result.values.withUnsafeMutableBytes { v in
                    try pass.step(
                      layer: layer, first: tokens.lowerBound, queries: queries,
                      out: out.readOnly.slice(tokens: tokens),
                      logSumExp: lse.slice(tokens: tokens), dOut: dOut, dLogSumExp: dSums,
                      dQueries: place(q, golden.queryHeads), dKeys: place(k, golden.kvHeads),
                      dValues: place(v, golden.kvHeads))
                  }
                }
              }
            }
          }
        }
      }
      return result
    }

    /// A whole pass in these cuts (ascending); the gradients of each layer.
    func pass(_ cuts: [Range<Int>]) throws -> [Gradients] {
      let pass = try session.beginBackward()
      var layers = [[Gradients]](repeating: [], count: self.layers)
      for cut in cuts.reversed() {
        for layer in (0..<self.layers).reversed() { layers[layer].append(try step(pass, layer: layer, cut)) }
      }
      return layers.map { parts in
        Gradients(
          queries: parts.reversed().flatMap(\.queries), keys: parts.reversed().flatMap(\.keys),
          values: parts.reversed().flatMap(\.values))
      }
    }

    /// A golden's `[heads, tokens, headDim]` as `[tokens, heads, headDim]`.
    func expected(_ name: String, heads: Int) throws -> [Float] {
      let floats = try golden.floats(name)
      let width = golden.headDim
      var result: [Float] = []
      for token in 0..<golden.tokens {
        for head in 0..<heads {
          let start = (head * golden.tokens + token) * width
          result += floats[start..<start + width]
        }
      }
      return result
    }
  }

  static let cases = GoldenCase.fixtures.filter { $0.kind == .lrsa }
  /// Without rounding and without a gradient of the log-sum-exp.
  static let plain = cases.filter { $0.sessionType == .float32 && !$0.tensors.contains("u") }

  private func worst(_ a: [Float], _ b: [Float]) -> Float {
    a.count == b.count ? zip(a, b).map { abs($0 - $1) }.max() ?? 0 : .infinity
  }

  @Test(arguments: cases, [1, 7, 64, 100_000]) func gradientsAreTheMaskedPasses(
    _ golden: GoldenCase, cut: Int
  ) throws {
    for codec in [Codec.raw, .zstd] {
      let filled = try Filled(golden, codec: codec)
      let layers = try filled.pass(pieces(0..<golden.tokens, cut))
      #expect(layers[0] == layers[1] && layers[1] == layers[2])
      #expect(worst(layers[0].queries, try filled.expected("dq", heads: golden.queryHeads)) <= 1e-5)
      #expect(worst(layers[0].keys, try filled.expected("dk", heads: golden.kvHeads)) <= 1e-5)
      #expect(worst(layers[0].values, try filled.expected("dv", heads: golden.kvHeads)) <= 1e-5)
    }
  }

  @Test func aPassRepeatsBitForBit() throws {
    let filled = try Filled(try #require(Self.plain.first), codec: .raw)
    let cuts = pieces(0..<filled.golden.tokens, 11)
    #expect(try filled.pass(cuts) == filled.pass(cuts))
  }

  @Test func aCallSentAgainGivesTheSameAndAddsNothing() throws {
    let golden = try #require(Self.plain.first)
    let filled = try Filled(golden, codec: .raw)
    let cuts = pieces(0..<golden.tokens, 17)
    let once = try filled.pass(cuts)
    let pass = try filled.session.beginBackward()
    for cut in cuts.reversed() {
      for layer in (0..<filled.layers).reversed() {
        let first = try filled.step(pass, layer: layer, cut)
        #expect(try filled.step(pass, layer: layer, cut) == first)
        let width = golden.queryHeads * golden.headDim
        #expect(first.queries == Array(once[layer].queries[cut.lowerBound * width..<cut.upperBound * width]))
        let other = code { _ = try filled.step(pass, layer: layer, cut, scaled: 2) }
        #expect(other == .badOrder)
      }
    }
  }

  @Test func otherOrdersAreRefusedAndHarmNothing() throws {
    let golden = try #require(Self.plain.first)
    let filled = try Filled(golden, codec: .raw)
    let end = golden.tokens
    let pass = try filled.session.beginBackward()
    func refused(_ layer: Int, _ tokens: Range<Int>) -> StoreError.Code? {
      code { _ = try filled.step(pass, layer: layer, tokens) }
    }
    #expect(refused(0, end - 5..<end) == .badOrder)
    #expect(refused(3, end - 5..<end) == .invalidArgument)
    _ = try filled.step(pass, layer: 2, end - 5..<end)
    #expect(refused(2, end - 10..<end - 5) == .badOrder)
    #expect(refused(0, end - 5..<end) == .badOrder)
    #expect(refused(1, end - 6..<end) == .badOrder)
    for layer in [1, 0] { _ = try filled.step(pass, layer: layer, end - 5..<end) }
    #expect(refused(2, end - 11..<end - 6) == .badOrder)
    #expect(refused(1, end - 10..<end - 5) == .badOrder)
    let again = try filled.pass([0..<end - 5, end - 5..<end])
    let kept = try filled.step(pass, layer: 2, 0..<end - 5)
    #expect(kept.queries == Array(again[2].queries.prefix(kept.queries.count)))
    #expect(kept.keys == Array(again[2].keys.prefix(kept.keys.count)))
  }

  @Test func whatCannotBeginIsRefused() throws {
    let golden = try #require(Self.plain.first)
    let fixture = StoreFixture()
    let store = try fixture.open()
    let plain = try store.create(
      SessionConfiguration(
        name: "plain", layers: 1, kvHeads: golden.kvHeads, headDim: golden.headDim, elementType: .float32,
        retention: golden.retention))
    #expect(code { _ = try plain.beginBackward() } == .invalidArgument)

    // A session that grows under the pass ends it.
    let filled = try Filled(golden, codec: .raw)
    let pass = try filled.session.beginBackward()
    let tail = try filled.session.begin(capacity: 1, owner: StagingAccount(cap: 1 << 30))
    for layer in 0..<filled.layers {
      try golden.view("k", 0..<1) { keys in try tail.append(layer: layer, keys: keys, values: keys) }
    }
    try tail.commit(tokenIDs: [1])
    #expect(code { _ = try filled.step(pass, layer: 2, golden.tokens - 5..<golden.tokens) } == .moved)
    #expect(code { _ = try filled.step(pass, layer: 2, golden.tokens - 5..<golden.tokens) } == .backwardLost)
  }

  /// The scratch file counts in the quota, is found by nobody, and is gone with the pass.
  @Test func accumulatorsCountInTheQuota() throws {
    let golden = try #require(Self.plain.first)
    let filled = try Filled(golden, codec: .raw, quota: 64 << 20)
    var passes: [BackwardPass] = []
    let refusal = code { for _ in 0..<100_000 { passes.append(try filled.session.beginBackward()) } }
    #expect(refusal == .quotaExceeded)
    let bytes = try #require(passes.first).scratchBytes
    #expect(passes.count * bytes < 64 << 20 && passes.count > 1)
    passes = []
    _ = try filled.session.beginBackward()
  }

  /// The last chunk's gradients, which a pass keeps, count in their owner's account until the pass goes.
  @Test func keptGradientsCountInTheAccount() throws {
    let golden = try #require(Self.plain.first)
    let filled = try Filled(golden, codec: .raw)
    let end = golden.tokens
    let bytes = { 4 * $0 * golden.headDim * (golden.queryHeads + 2 * golden.kvHeads) }
    let owner = StagingAccount(cap: bytes(7))
    do {
      let pass = try filled.session.beginBackward(owner: owner)
      #expect(code { _ = try filled.step(pass, layer: 2, end - 8..<end) } == .tooLarge)
      _ = try filled.step(pass, layer: 2, end - 5..<end)
      #expect(owner.bytes == bytes(5))
      let other = try filled.session.beginBackward(owner: owner)
      #expect(code { _ = try filled.step(other, layer: 2, end - 3..<end) } == .stagingFull)
      for layer in [1, 0] { _ = try filled.step(pass, layer: layer, end - 5..<end) }
      _ = try filled.step(pass, layer: 2, end - 11..<end - 5)
      #expect(owner.bytes == bytes(6))
    }
    #expect(owner.bytes == 0)
  }

  /// A bf16 session attends over rounded rows, its newest ones included: the gradients are those of an f32 session that was
  /// given the rounded rows, and not those of the exact ones.
  @Test func roundedSessionsGiveTheGradientsOfRoundedRows() throws {
    let golden = try #require(Self.plain.first)
    let cuts = pieces(0..<golden.tokens, 10)
    let rounded = try Filled(golden, codec: .raw, type: .bfloat16).pass(cuts)[0]
    let given = try Filled(golden, codec: .raw, rounding: true).pass(cuts)[0]
    let exact = try Filled(golden, codec: .raw).pass(cuts)[0]
    for path in [\Gradients.queries, \.keys, \.values] {
      #expect(worst(rounded[keyPath: path], given[keyPath: path]) < 1e-5)
      #expect(worst(rounded[keyPath: path], exact[keyPath: path]) > 1e-4)
    }
  }
}
