import LagKV
import SparseAttention
import Testing

@Suite struct AccumulatorTests {
  private func blocks(_ k: Tensor, _ v: Tensor, cuts: [Int]) -> [KeyValueBlock] {
    let edges = [0] + cuts + [k.tokens]
    return zip(edges, edges.dropFirst()).map { block(k, v, rows: $0..<$1) }
  }

  @Test(arguments: [1, 7, 16, 64, 80, 96, 128, 256], ElementType.allCases)
  func attentionIsTheDefinition(headDim: Int, type: ElementType) throws {
    for group in [1, 2, 3, 4, 5, 8] {
      let shape = try AttentionShape(queryHeads: 2 * group, kvHeads: 2, headDim: headDim)
      let q = Tensor(random: 1, heads: 2 * group, tokens: 3, headDim: headDim, type: type)
      let k = Tensor(random: 2, heads: 2, tokens: 90, headDim: headDim, type: type, scale: 2)
      let v = Tensor(random: 3, heads: 2, tokens: 90, headDim: headDim, type: type)
      let got = attend(shape, q.view, [blocks(k, v, cuts: [37])])
      let expected = reference(shape, queries: q, keys: k, values: v)
      #expect(got.difference(from: expected) <= 3e-6, "group \(group)")
    }
  }

  @Test func scaleIsTakenAsGiven() throws {
    let q = Tensor(random: 1, heads: 1, tokens: 2, headDim: 16, type: .float32)
    let k = Tensor(random: 2, heads: 1, tokens: 30, headDim: 16, type: .float32)
    let shape = try AttentionShape(queryHeads: 1, kvHeads: 1, headDim: 16, scale: 0.7)
    let got = attend(shape, q.view, [[block(k, k, rows: 0..<30)]])
    #expect(got.difference(from: reference(shape, queries: q, keys: k, values: k)) <= 2e-6)
    let plain = try AttentionShape(queryHeads: 1, kvHeads: 1, headDim: 16)
    #expect(plain.scale == 0.25)
    #expect(got.difference(from: attend(plain, q.view, [[block(k, k, rows: 0..<30)]])) > 1e-3)
  }

  @Test func causalBlocksAreSeenFromTheirPositionOn() throws {
    let shape = try AttentionShape(queryHeads: 4, kvHeads: 2, headDim: 32)
    let q = Tensor(random: 1, heads: 4, tokens: 150, headDim: 32, type: .bfloat16)
    let k = Tensor(random: 2, heads: 2, tokens: 300, headDim: 32, type: .bfloat16)
    let v = Tensor(random: 3, heads: 2, tokens: 300, headDim: 32, type: .bfloat16)
    // Rows 0..<100 for everyone, the rest at their positions 100..<300; queries at 120..<270.
    let got = attend(
      shape, q.view, firstQueryPosition: 120,
      [[block(k, v, rows: 0..<100)], [block(k, v, rows: 100..<300, firstPosition: 100)]])
    let expected = reference(shape, queries: q, keys: k, values: v) { token, row in
      row < 100 || row <= 120 + token
    }
    #expect(got.difference(from: expected) <= 3e-6)
  }

  @Test func orderAndPartitionOfBlocksChangeRoundingOnly() throws {
    let shape = try AttentionShape(queryHeads: 6, kvHeads: 3, headDim: 48)
    let q = Tensor(random: 4, heads: 6, tokens: 5, headDim: 48, type: .float32)
    let k = Tensor(random: 5, heads: 3, tokens: 400, headDim: 48, type: .float16, scale: 2)
    let v = Tensor(random: 6, heads: 3, tokens: 400, headDim: 48, type: .float16)
    let whole = attend(shape, q.view, [blocks(k, v, cuts: [])])
    for cuts in [[1], [64, 128], [13, 14, 200, 399], Array(stride(from: 10, to: 400, by: 10))] {
      let pieces = blocks(k, v, cuts: cuts)
      #expect(attend(shape, q.view, [pieces]).difference(from: whole) <= 2e-6)
      #expect(attend(shape, q.view, [pieces.reversed()]).difference(from: whole) <= 2e-6)
      #expect(attend(shape, q.view, pieces.map { [$0] }).difference(from: whole) <= 2e-6)
    }
  }

  @Test func blocksMayHoldSomeOfTheHeads() throws {
    let shape = try AttentionShape(queryHeads: 3, kvHeads: 3, headDim: 16)
    let q = Tensor(random: 4, heads: 3, tokens: 2, headDim: 16, type: .float32)
    let k = Tensor(random: 5, heads: 3, tokens: 70, headDim: 16, type: .float32)
    let v = Tensor(random: 6, heads: 3, tokens: 70, headDim: 16, type: .float32)
    let stride = 70 * 16 * 4
    let parts = [1..<3, 0..<1].map { heads in
      KeyValueBlock(
        keys: k.bytes + heads.lowerBound * stride, values: v.bytes + heads.lowerBound * stride, heads: heads,
        headStrideBytes: stride, rows: 70, elementType: .float32)
    }
    let whole = attend(shape, q.view, [[block(k, v, rows: 0..<70)]])
    #expect(attend(shape, q.view, [parts]).isIdentical(to: whole))
  }

  /// Each head in a type of its own, its blocks before the next head's or in turns with them.
  @Test func headsMayDifferInType() throws {
    let shape = try AttentionShape(queryHeads: 4, kvHeads: 2, headDim: 16)
    let q = Tensor(random: 4, heads: 4, tokens: 2, headDim: 16, type: .float32)
    let k = Tensor(random: 5, heads: 2, tokens: 300, headDim: 16, type: .bfloat16)
    let v = Tensor(random: 6, heads: 2, tokens: 300, headDim: 16, type: .bfloat16)
    let wideK = Tensor(k.floats, heads: 2, tokens: 300, headDim: 16, type: .float32)
    let wideV = Tensor(v.floats, heads: 2, tokens: 300, headDim: 16, type: .float32)
    let expected = reference(shape, queries: q, keys: k, values: v) { _, _ in true }
    func one(_ head: Int, _ rows: Range<Int>) -> KeyValueBlock {
      let (keys, values) = head == 0 ? (k, v) : (wideK, wideV)
      let offset = (head * 300 + rows.lowerBound) * 16 * keys.type.byteCount
      return KeyValueBlock(
        keys: keys.bytes + offset, values: values.bytes + offset, heads: head..<head + 1, headStrideBytes: 0,
        rows: rows.count, elementType: keys.type)
    }
    let pieces = stride(from: 0, to: 300, by: 30).map { $0..<$0 + 30 }
    let inTurns = pieces.flatMap { rows in [one(0, rows), one(1, rows)] }
    let apart = pieces.map { one(0, $0) } + pieces.map { one(1, $0) }
    for blocks in [inTurns, apart, [one(1, 0..<300), one(0, 0..<300)]] {
      #expect(attend(shape, q.view, [blocks]).difference(from: expected) <= 3e-6)
    }
  }

  /// A query's bits are the same alone, in any slice of the call, and from any layout or count of threads.
  @Test func bitsDependOnTheQueryAndTheBlocksAlone() throws {
    let shape = try AttentionShape(queryHeads: 8, kvHeads: 2, headDim: 64)
    let tokens = 100
    let q = Tensor(random: 7, heads: 8, tokens: tokens, headDim: 64, type: .bfloat16)
    let k = Tensor(random: 8, heads: 2, tokens: 700, headDim: 64, type: .bfloat16)
    let v = Tensor(random: 9, heads: 2, tokens: 700, headDim: 64, type: .bfloat16)
    let longK = Tensor(random: 10, heads: 2, tokens: 2600, headDim: 64, type: .bfloat16)
    let longV = Tensor(random: 11, heads: 2, tokens: 2600, headDim: 64, type: .bfloat16)
    // Whole, and in so many small blocks that there are several splits of several windows.
    func pieces(of rows: Int, withPositions: Set<Int> = []) -> [KeyValueBlock] {
      stride(from: 0, to: 2600, by: rows).map {
        let piece = $0..<min($0 + rows, 2600)
        return block(
          longK, longV, rows: piece, firstPosition: withPositions.contains($0 / rows) ? 0 : nil)
      }
    }
    for (parts, rows) in [
      ([block(k, v, rows: 0..<600), block(k, v, rows: 600..<700, firstPosition: 600)], 700),
      // No window of a split ends where a tile does; every eighth block does; and tiles begin anew behind blocks that have positions,
      // which all queries see nevertheless.
      (pieces(of: 13), 2600), (pieces(of: 16), 2600), (pieces(of: 8, withPositions: [3, 25, 70]), 2600),
      (pieces(of: 40, withPositions: [2, 9]), 2600),
    ] {
      let whole = attend(shape, q.view, firstQueryPosition: 600, [parts])
      let expected = reference(
        shape, queries: q, keys: rows == 700 ? k : longK, values: rows == 700 ? v : longV
      ) { rows > 700 || $1 <= 600 + $0 }
      #expect(whole.difference(from: expected) <= 3e-6)
      for threads in [1, 2, 5] {
        let pool = WorkerPool(threads: threads)
        #expect(
          attend(shape, q.view, firstQueryPosition: 600, [parts], pool: pool).isIdentical(to: whole),
          "\(threads) threads")
        for range in [0..<1, 17..<18, 3..<64, 16..<33, 99..<100] {
          let slice = attend(
            shape, q.view.slice(tokens: range), firstQueryPosition: 600 + range.lowerBound, [parts],
            pool: pool)
          let expected = Attended(
            out: Array(whole.out[range.lowerBound * 512..<range.upperBound * 512]),
            lse: Array(whole.lse[range.lowerBound * 8..<range.upperBound * 8]))
          #expect(slice.isIdentical(to: expected), "queries \(range), \(threads) threads")
        }
      }
    }
  }

  /// One query of wide rows over more splits than are gone through at once has the bits that it has beside another, where nothing is
  /// kept of each split.
  @Test func bitsDoNotDependOnHowManySplitsGoAtOnce() throws {
    let shape = try AttentionShape(queryHeads: 64, kvHeads: 4, headDim: 1024)
    let q = Tensor(random: 3, heads: 64, tokens: 2, headDim: 1024, type: .float32)
    let k = Tensor(random: 4, heads: 4, tokens: 256, headDim: 1024, type: .bfloat16)
    let v = Tensor(random: 5, heads: 4, tokens: 256, headDim: 1024, type: .bfloat16)
    // Ten splits of 512 rows, more than fit.
    let blocks = (0..<20).map { _ in block(k, v, rows: 0..<256) }
    let both = attend(shape, q.view, [blocks])
    let first = Attended(out: Array(both.out[..<65_536]), lse: Array(both.lse[..<64]))
    for pool in [nil, WorkerPool(threads: 3)] {
      #expect(attend(shape, q.view.slice(tokens: 0..<1), [blocks], pool: pool).isIdentical(to: first))
    }
    // Twenty times the same rows weigh as they do once.
    let logOf20: Float = 2.9957323
    let once = attend(shape, q.view, [[blocks[0]]])
    let repeated = Attended(out: both.out, lse: both.lse.map { $0 - logOf20 })
    #expect(repeated.difference(from: once) <= 1e-5)
  }

  @Test func queriesThatSeeNothingGiveZero() throws {
    let shape = try AttentionShape(queryHeads: 2, kvHeads: 1, headDim: 8)
    let q = Tensor(random: 1, heads: 2, tokens: 3, headDim: 8, type: .float32)
    let k = Tensor(random: 2, heads: 1, tokens: 5, headDim: 8, type: .float32)
    let nothing = Attended(
      out: [Float](repeating: 0, count: 48), lse: [Float](repeating: -.infinity, count: 6))
    #expect(attend(shape, q.view, []) == nothing)
    #expect(attend(shape, q.view, [[], [block(k, k, rows: 2..<2)]]) == nothing)
    #expect(attend(shape, q.view, [[block(k, k, rows: 0..<5, firstPosition: 3)]]) == nothing)
    // The last of the three sees one.
    let some = attend(shape, q.view, firstQueryPosition: 1, [[block(k, k, rows: 0..<5, firstPosition: 3)]])
    #expect(Array(some.lse[0..<4]) == [Float](repeating: -.infinity, count: 4))
    #expect(Array(some.out[32..<40]) == Array(k.floats[0..<8]))
    #expect(
      attend(shape, q.view.slice(tokens: 0..<0), [[block(k, k, rows: 0..<5)]]) == Attended(out: [], lse: []))
  }

  @Test func largeLogitsGiveTheLargestKeysValue() throws {
    let shape = try AttentionShape(queryHeads: 1, kvHeads: 1, headDim: 4, scale: 1)
    let q = Tensor([3e4, 0, 0, 0], heads: 1, tokens: 1, headDim: 4, type: .float32)
    let keys = (0..<100).flatMap { row -> [Float] in [row == 70 ? 3 : -3, 0, 0, 0] }
    let k = Tensor(keys, heads: 1, tokens: 100, headDim: 4, type: .float32)
    let v = Tensor(random: 2, heads: 1, tokens: 100, headDim: 4, type: .float32)
    let got = attend(shape, q.view, [[block(k, v, rows: 0..<100)]])
    #expect(got.lse == [9e4])
    #expect(got.out == Array(v.row(0, 70)))
  }

  @Test func resultsGoToAnyLayoutAndAlignment() throws {
    let shape = try AttentionShape(queryHeads: 4, kvHeads: 2, headDim: 6)
    let q = Tensor(random: 1, heads: 4, tokens: 3, headDim: 6, type: .float32)
    let k = Tensor(random: 2, heads: 2, tokens: 20, headDim: 6, type: .float32)
    let plain = attend(shape, q.view, [[block(k, k, rows: 0..<20)]])
    var accumulator = AttentionAccumulator(shape: shape, queries: q.view, firstQueryPosition: 0)
    accumulator.add([block(k, k, rows: 0..<20)], pool: nil)
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 4 * (72 + 12) + 2, alignment: 16)
    defer { memory.deallocate() }
    let out = MutableTensorView.headMajor(memory + 1, tokens: 3, heads: 4, headDim: 6)
    let lse = LogSumExpView.headMajor(memory + 1 + 4 * 72, tokens: 3, heads: 4)
    accumulator.finish(out: out, logSumExp: lse)
    for token in 0..<3 {
      for head in 0..<4 {
        #expect(lse[token, head] == plain.lse[token * 4 + head])
        let row = (0..<6).map {
          out.row(token: token, head: head).loadUnaligned(fromByteOffset: 4 * $0, as: Float.self)
        }
        #expect(row == Array(plain.out[(token * 4 + head) * 6..<(token * 4 + head + 1) * 6]))
      }
    }
    #expect(out.slice(tokens: 1..<3).row(token: 0, head: 2) == out.row(token: 1, head: 2))
    #expect(lse.slice(tokens: 1..<3)[0, 3] == lse[1, 3])
  }

  @Test(arguments: [
    (3, 2, 8, nil, AttentionError.Code.heads), (0, 1, 8, nil, .heads), (4, 0, 8, nil, .heads),
    (1, 1, 0, nil, .headDim), (1, 1, 1025, nil, .headDim), (1, 1, 8, Float.nan, .scale),
  ])
  func impossibleShapesAreRefused(
    queryHeads: Int, kvHeads: Int, headDim: Int, scale: Float?, code: AttentionError.Code
  ) {
    let error = #expect(throws: AttentionError.self) {
      try AttentionShape(queryHeads: queryHeads, kvHeads: kvHeads, headDim: headDim, scale: scale)
    }
    #expect(error?.code == code)
  }
}
