import Foundation
import KVStore
import LagKV
import SparseAttention
import TestSupport
import Testing

/// Backward passes that drop gradients to keys and values of earlier chunks.
@Suite struct DetachedBackwardTests {
  /// Random shapes, policies, codecs and cuts, from the seed.
  private struct Case {
    var document: Document
    var configuration: SessionConfiguration
    var tokens: Int
    var cuts: [BackwardCut]

    init(seed: UInt64) throws {
      var g = SeededGenerator(seed)
      let kvHeads = Int.random(in: 1...3, using: &g)
      document = Document(
        kvHeads: kvHeads, headDim: [5, 16, 33, 128].randomElement(using: &g)!,
        queryHeads: kvHeads * Int.random(in: 1...2, using: &g), seed: seed)
      tokens = Int.random(in: 40...130, using: &g)
      configuration = try KVStoreTests.configuration(
        "case \(seed)", document: document, type: [.float32, .bfloat16].randomElement(using: &g)!,
        policy: PolicyKind.allCases[Int(seed) % PolicyKind.allCases.count],
        sinks: Int.random(in: 0...9, using: &g), lag: Int.random(in: 3...20, using: &g),
        ratio: Double.random(in: 0...1, using: &g), exempt: Bool.random(using: &g) ? [1] : [],
        archive: true, codec: [Codec.raw, .zstd].randomElement(using: &g)!)
      cuts = []
      var before = 0
      for range in randomPieces(0..<tokens, most: 30, &g) {
        // Descending with the chunks, and now and then up to the chunk itself.
        before = Int.random(in: before...range.lowerBound, using: &g)
        if Int.random(in: 0..<4, using: &g) == 0 { before = range.lowerBound }
        cuts.append(BackwardCut(tokens: range, detachedBefore: before))
      }
    }
  }

  private func worst(_ a: LayerGradients, _ b: LayerGradients) -> Float {
    var worst: Float = 0
    for path in [\LayerGradients.queries, \.keys, \.values] {
      let (x, y) = (a[keyPath: path], b[keyPath: path])
      guard x.count == y.count else { return .infinity }
      for i in x.indices {
        let difference = abs(x[i] - y[i]) / (1 + abs(y[i]))
        worst = difference.isFinite ? max(worst, difference) : .infinity
      }
    }
    return worst
  }

  @Test(arguments: 0..<(longTests ? 400 : 40)) func gradientsAreTheMaskedPasses(seed: Int) throws {
    let given = try Case(seed: UInt64(seed))
    let fixture = StoreFixture()
    let store = try fixture.open(pool: seed % 2 == 0 ? WorkerPool(threads: 2) : nil)
    let filled = try BackwardDocument(
      given.document, store.create(given.configuration), tokens: given.tokens, cut: 17)
    let found = try filled.pass(given.cuts)
    // What is reserved at the beginning changes no bit.
    #expect(try filled.pass(given.cuts, reserving: given.cuts.last?.detachedBefore ?? 0) == found)
    #expect(try filled.pass(given.cuts, reserving: given.tokens) == found)
    for layer in found.indices {
      let expected = try filled.expected(layer: layer, given.cuts)
      #expect(worst(found[layer], expected) < 2e-5, "layer \(layer), \(given.configuration)")
    }
    // The oracle tells the difference: with nothing dropped, keys get more.
    let whole = given.cuts.map { BackwardCut(tokens: $0.tokens) }
    let exact = try filled.pass(whole)
    #expect(worst(exact[0], try filled.expected(layer: 0, whole)) < 2e-5)
    #expect(worst(exact[0], found[0]) > 1e-3)
    // Queries see everything either way.
    let bits = zip(exact[0].queries, found[0].queries).map { abs($0 - $1) }.max() ?? 0
    #expect(bits < 2e-5)
  }

  /// `n` chunks back: as many as there are drop nothing, bit for bit; none leaves each chunk its own.
  @Test func manyChunksAreExactAndNoneAreAlone() throws {
    let document = Document(kvHeads: 2, headDim: 16, queryHeads: 4)
    let fixture = StoreFixture()
    let store = try fixture.open()
    let filled = try BackwardDocument(
      document, store.create(configuration(document: document, archive: true)), tokens: 150, cut: 20)
    func cuts(_ n: Int) -> [BackwardCut] {
      pieces(0..<150, 20).map {
        BackwardCut(tokens: $0, detachedBefore: max(0, $0.lowerBound - n * 20))
      }
    }
    let exact = try filled.pass(pieces(0..<150, 20).map { BackwardCut(tokens: $0) })
    #expect(try filled.pass(cuts(8)) == exact)
    #expect(try filled.pass(cuts(7)) == exact)
    #expect(try filled.pass(cuts(6)) != exact)
    let alone = try filled.pass(cuts(0))
    #expect(worst(alone[0], try filled.expected(layer: 0, cuts(0))) < 2e-5)
    // The last chunk's own keys have no later readers.
    let last = 140 * document.kvHeads * document.headDim
    #expect(worst(exact[0], alone[0]) > 1e-3)
    #expect(zip(alone[0].keys[last...], exact[0].keys[last...]).allSatisfy { abs($0 - $1) < 1e-5 })
  }

  /// Heads in several groups of slabs, and a boundary through a slab of kept rows.
  @Test func manyHeads() throws {
    let document = Document(kvHeads: 65, headDim: 128, queryHeads: 65)
    let fixture = StoreFixture()
    let store = try fixture.open()
    let filled = try BackwardDocument(
      document,
      store.create(configuration(layers: 1, document: document, lag: 8, ratio: 0.5, archive: true)),
      tokens: 60, cut: 60)
    let cuts = pieces(0..<60, 15).map {
      BackwardCut(tokens: $0, detachedBefore: max(0, $0.lowerBound - 8))
    }
    #expect(worst(try filled.pass(cuts)[0], try filled.expected(layer: 0, cuts)) < 2e-5)
  }

  @Test func theBoundaryDescendsWithTheChunks() throws {
    let document = Document(kvHeads: 2, headDim: 16, queryHeads: 2)
    let fixture = StoreFixture()
    let store = try fixture.open()
    let filled = try BackwardDocument(
      document, store.create(configuration(document: document, archive: true)), tokens: 100, cut: 50)
    for bad in [-1, 101] {
      #expect(code { _ = try filled.session.beginBackward(detachedBefore: bad) } == .invalidArgument)
    }
    let pass = try filled.session.beginBackward()
    func refused(_ layer: Int, _ tokens: Range<Int>, _ before: Int) -> StoreError.Code? {
      code {
        _ = try filled.step(pass, layer: layer, BackwardCut(tokens: tokens, detachedBefore: before))
      }
    }
    #expect(refused(1, 80..<100, 81) == .invalidArgument)
    #expect(refused(1, 80..<100, -1) == .invalidArgument)
    let first = try filled.step(pass, layer: 1, BackwardCut(tokens: 80..<100, detachedBefore: 60))
    // Once more the same, which adds nothing; another boundary is another call.
    #expect(try filled.step(pass, layer: 1, BackwardCut(tokens: 80..<100, detachedBefore: 60)) == first)
    #expect(refused(1, 80..<100, 50) == .badOrder)
    #expect(refused(0, 80..<100, 50) == .badOrder)
    #expect(refused(0, 80..<100, 61) == .badOrder)
    #expect(refused(0, 80..<100, 60) == nil)
    #expect(refused(1, 65..<80, 61) == .badOrder)
    #expect(refused(1, 65..<80, 60) == nil)
    #expect(refused(0, 65..<80, 60) == nil)
    let rest = [BackwardCut(tokens: 0..<65), .init(tokens: 65..<80, detachedBefore: 60)]
    let whole = try filled.pass(rest + [BackwardCut(tokens: 80..<100, detachedBefore: 60)])
    for layer in [1, 0] {
      let part = try filled.step(pass, layer: layer, rest[0])
      #expect(part.keys == Array(whole[layer].keys.prefix(part.keys.count)))
    }
  }

  /// A long document's accumulators take as much disk as the chunks that gradients reach, and go as their rows are taken.
  @Test func scratchIsBoundedByTheChunksInReach() throws {
    let document = Document(kvHeads: 1, headDim: 64, queryHeads: 1)
    let tokens = 6000
    let fixture = StoreFixture()
    let store = try fixture.open(quota: 24 << 20)
    let filled = try BackwardDocument(
      document,
      store.create(
        configuration(layers: 2, document: document, sinks: 4, lag: 64, ratio: 0.5, archive: true)),
      tokens: tokens, cut: 500)
    let chunk = 500
    let (reach, rowBytes) = (2, 2 * 64 * 4)
    func before(_ range: Range<Int>) -> Int { max(0, range.lowerBound - reach * chunk) }
    let cuts = pieces(0..<tokens, chunk)
    // Kept rows of the chunks in reach and of a partition or two, in blocks of 128 rows, and the window.
    let most = 2 * ((((reach + 1) * chunk + 128) / 2 + 3 * 128) * rowBytes + 4 * 64 * rowBytes)
    let whole = try filled.session.beginBackward()
    #expect(whole.scratchBytes > 2 * most)
    let pass = try filled.session.beginBackward(detachedBefore: before(cuts[cuts.count - 1]))
    #expect(pass.scratchBytes <= most)
    var largest = 0
    for range in cuts.reversed() {
      for layer in [1, 0] {
        let cut = BackwardCut(tokens: range, detachedBefore: before(range))
        _ = try filled.step(pass, layer: layer, cut)
        _ = try filled.step(whole, layer: layer, BackwardCut(tokens: range))
        largest = max(largest, pass.scratchBytes)
      }
    }
    #expect(largest <= most && largest > most / 4)
    // Both have given back all but the first rows' blocks.
    #expect(pass.scratchBytes <= most / 3 && whole.scratchBytes <= most / 3)
    // A pass that reserved everything lets go what its first step drops.
    let second = try filled.session.beginBackward()
    let last = cuts[cuts.count - 1]
    for layer in [1, 0] {
      _ = try filled.step(second, layer: layer, BackwardCut(tokens: last, detachedBefore: last.lowerBound))
    }
    #expect(second.scratchBytes <= most / 2)
  }

  /// Where there is no room to go on, the step fails and may be sent again; nothing is lost.
  @Test func aStepWithoutRoomMayBeSentAgain() throws {
    let document = Document(kvHeads: 1, headDim: 64, queryHeads: 1)
    let fixture = StoreFixture()
    let store = try fixture.open(quota: 24 << 20)
    let filled = try BackwardDocument(
      document,
      store.create(
        configuration(layers: 1, document: document, sinks: 4, lag: 64, ratio: 1, archive: true)),
      tokens: 2000, cut: 500)
    let cuts = pieces(0..<2000, 200).map { BackwardCut(tokens: $0, detachedBefore: $0.lowerBound) }
    let expected = try filled.pass(cuts, reserving: 2000)
    let pass = try filled.session.beginBackward(detachedBefore: 2000)
    var parts: [LayerGradients] = []
    var refusals = 0
    for cut in cuts.reversed() {
      var others: [BackwardPass] = []
      let full = code {
        while true { others.append(try filled.session.beginBackward(detachedBefore: 1900)) }
      }
      #expect(full == .quotaExceeded)
      do {
        parts.append(try filled.step(pass, layer: 0, cut))
      } catch let error as StoreError {
        #expect(error.code == .quotaExceeded)
        refusals += 1
        others = []
        parts.append(try filled.step(pass, layer: 0, cut))
      }
    }
    #expect(refusals > 0)
    #expect(parts.reversed().flatMap(\.keys) == expected[0].keys)
  }
}
