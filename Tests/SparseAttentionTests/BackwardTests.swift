import Glibc
import LagKV
import SparseAttention
import Testing

/// Queries over `rows` rows, of which the first `open` are seen by all and the rest at their positions.
private struct Problem {
  let shape: AttentionShape
  let q, k, v, dOut: Tensor
  var dLse: [Float]?
  var firstQueryPosition = 0
  var open = Int.max

  init(
    queryHeads: Int, kvHeads: Int, headDim: Int, tokens: Int, rows: Int, type: ElementType = .float32,
    scale: Float? = nil, keyScale: Float = 2
  ) throws {
    shape = try AttentionShape(queryHeads: queryHeads, kvHeads: kvHeads, headDim: headDim, scale: scale)
    q = Tensor(random: 1, heads: queryHeads, tokens: tokens, headDim: headDim, type: type)
    k = Tensor(random: 2, heads: kvHeads, tokens: rows, headDim: headDim, type: type, scale: keyScale)
    v = Tensor(random: 3, heads: kvHeads, tokens: rows, headDim: headDim, type: type)
    dOut = Tensor(random: 4, heads: queryHeads, tokens: tokens, headDim: headDim, type: type)
  }

  /// Rows `range`, cut where visibility changes.
  func blocks(_ cuts: [Int]) -> [(rows: Range<Int>, block: KeyValueBlock)] {
    let edges = Set([0, k.tokens] + cuts + (open < k.tokens ? [open] : [])).sorted()
    return zip(edges, edges.dropFirst()).map { first, end in
      (first..<end, block(k, v, rows: first..<end, firstPosition: first < open ? nil : first))
    }
  }

  func forward() -> Attended {
    attend(shape, q.view, firstQueryPosition: firstQueryPosition, [blocks([]).map(\.block)])
  }

  /// One call, or one for each block.
  func gradients(cuts: [Int] = [], separate: Bool = false, pool: WorkerPool? = nil) -> AttentionGradients {
    let rows = GradientRows(heads: shape.kvHeads, rows: k.tokens, headDim: shape.headDim)
    let pairs = blocks(cuts).map { ($0.block, rows.from($0.rows.lowerBound)) }
    let dQueries = backward(
      shape, q.view, forward: forward(), dOut: dOut.view, dLogSumExp: dLse,
      firstQueryPosition: firstQueryPosition, separate ? pairs.map { [$0] } : [pairs], pool: pool)
    return AttentionGradients(
      dQueries: dQueries, dKeys: rows.floats(rows.dKeys), dValues: rows.floats(rows.dValues))
  }

  /// The definition in double precision.
  func reference() -> AttentionGradients {
    let dim = shape.headDim
    var dQueries = [Double](repeating: 0, count: q.floats.count)
    var dKeys = [Double](repeating: 0, count: k.floats.count)
    var dValues = dKeys
    func dot(_ a: ArraySlice<Float>, _ b: ArraySlice<Float>) -> Double {
      zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }
    for token in 0..<q.tokens {
      for head in 0..<shape.queryHeads {
        let kvHead = head / shape.group
        let seen = (0..<k.tokens).filter { $0 < open || $0 <= firstQueryPosition + token }
        let logits = seen.map { Double(shape.scale) * dot(q.row(head, token), k.row(kvHead, $0)) }
        let largest = logits.max() ?? 0
        let sum = logits.reduce(0.0) { $0 + exp($1 - largest) }
        let weights = logits.map { exp($0 - largest) / sum }
        let dWeights = seen.map { dot(dOut.row(head, token), v.row(kvHead, $0)) }
        let mean = zip(weights, dWeights).reduce(0.0) { $0 + $1.0 * $1.1 }
        let at = (token * shape.queryHeads + head) * dim
        for (i, row) in seen.enumerated() {
          let dLse = Double(dLse?[token * shape.queryHeads + head] ?? 0)
          let dLogit = Double(shape.scale) * weights[i] * (dWeights[i] - mean + dLse)
          let to = (kvHead * k.tokens + row) * dim
          for c in 0..<dim {
            dQueries[at + c] += dLogit * Double(k.floats[to + c])
            dKeys[to + c] += dLogit * Double(q.row(head, token)[q.row(head, token).startIndex + c])
            dValues[to + c] +=
              weights[i] * Double(dOut.row(head, token)[dOut.row(head, token).startIndex + c])
          }
        }
      }
    }
    return AttentionGradients(
      dQueries: dQueries.map { Float($0) }, dKeys: dKeys.map { Float($0) }, dValues: dValues.map { Float($0) }
    )
  }
}

@Suite struct BackwardTests {
  @Test(arguments: [1, 16, 24, 64, 80, 128], ElementType.allCases)
  func gradientsAreTheDefinition(headDim: Int, type: ElementType) throws {
    for group in [1, 2, 3, 8] {
      var problem = try Problem(
        queryHeads: 2 * group, kvHeads: 2, headDim: headDim, tokens: 5, rows: 90, type: type)
      #expect(problem.gradients(cuts: [37]).difference(from: problem.reference()) <= 2e-5, "group \(group)")
      problem.dLse = (0..<10 * group).map { Float($0 % 7) - 3 }
      #expect(problem.gradients(cuts: [37]).difference(from: problem.reference()) <= 2e-5, "group \(group)")
    }
  }

  @Test func scaleIsTakenAsGiven() throws {
    let problem = try Problem(
      queryHeads: 2, kvHeads: 1, headDim: 16, tokens: 9, rows: 30, scale: 0.7, keyScale: 0.5)
    #expect(problem.gradients().difference(from: problem.reference()) <= 5e-6)
  }

  /// Queries at 120..<270; rows before 100 for all, the others at their positions.
  @Test func causalBlocksAreSeenFromTheirPositionOn() throws {
    var problem = try Problem(queryHeads: 4, kvHeads: 2, headDim: 32, tokens: 150, rows: 300, type: .bfloat16)
    problem.firstQueryPosition = 120
    problem.open = 100
    let got = problem.gradients(cuts: [130, 200])
    #expect(got.difference(from: problem.reference()) <= 2e-5)
    // Rows 270..<300 are after every query.
    for head in 0..<2 {
      #expect(got.dKeys[(head * 300 + 270) * 32..<(head + 1) * 300 * 32].allSatisfy { $0 == 0 })
    }
  }

  /// Given the log-sum-exp of the whole, backward over parts adds up to backward over the whole.
  @Test func partsAddUpToTheWhole() throws {
    var problem = try Problem(queryHeads: 6, kvHeads: 3, headDim: 48, tokens: 40, rows: 400, type: .float16)
    problem.firstQueryPosition = 370
    problem.open = 350
    let whole = problem.gradients()
    for cuts in [[1], [64, 128], [13, 14, 200, 399], Array(stride(from: 10, to: 400, by: 10))] {
      for separate in [false, true] {
        let parts = problem.gradients(cuts: cuts, separate: separate)
        #expect(parts.difference(from: whole) <= 1e-5)
        // A row's gradients do not depend on the rows beside it.
        #expect(parts.bits[1...] == whole.bits[1...])
      }
    }
  }

  @Test func threadsDoNotChangeTheBits() throws {
    var problem = try Problem(queryHeads: 8, kvHeads: 2, headDim: 32, tokens: 50, rows: 2500, type: .bfloat16)
    problem.firstQueryPosition = 2480
    problem.open = 1000
    problem.dLse = (0..<400).map { Float($0 % 5) - 2 }
    let reference = problem.reference()
    for cuts in [[], [700, 701, 1900], Array(stride(from: 16, to: 2500, by: 16))] {
      let alone = problem.gradients(cuts: cuts)
      #expect(alone.difference(from: reference) <= 2e-5)
      for threads in [1, 2, 8] {
        let pool = WorkerPool(threads: threads)
        for _ in 0..<3 {
          let got = problem.gradients(cuts: cuts, pool: pool)
          #expect(got.isIdentical(to: alone), "\(threads) threads, \(cuts.count) cuts")
        }
      }
    }
  }

  /// So many queries that they are packed, and gradients cleared and written, by all threads.
  @Test func manyQueriesArePackedByAllThreads() throws {
    var problem = try Problem(queryHeads: 8, kvHeads: 2, headDim: 40, tokens: 250, rows: 60, type: .bfloat16)
    problem.firstQueryPosition = 20
    let alone = problem.gradients()
    #expect(alone.difference(from: problem.reference()) <= 2e-5)
    let pool = WorkerPool(threads: 3)
    for _ in 0..<10 { #expect(problem.gradients(pool: pool).isIdentical(to: alone)) }
  }

  @Test func blocksMayHoldSomeOfTheHeads() throws {
    let problem = try Problem(queryHeads: 6, kvHeads: 3, headDim: 16, tokens: 7, rows: 600)
    let whole = problem.gradients()
    let stride = 600 * 16 * 4
    let rows = GradientRows(heads: 3, rows: 600, headDim: 16)
    let parts = [1..<3, 0..<1].map { heads in
      (
        KeyValueBlock(
          keys: problem.k.bytes + heads.lowerBound * stride,
          values: problem.v.bytes + heads.lowerBound * stride,
          heads: heads, headStrideBytes: stride, rows: 600, elementType: .float32),
        rows.from(0, head: heads.lowerBound)
      )
    }
    let dQueries = backward(
      problem.shape, problem.q.view, forward: problem.forward(), dOut: problem.dOut.view, [parts])
    let got = AttentionGradients(
      dQueries: dQueries, dKeys: rows.floats(rows.dKeys), dValues: rows.floats(rows.dValues))
    #expect(got.difference(from: whole) <= 5e-6)
    #expect(got.bits[1...] == whole.bits[1...])
  }

  @Test func zeroGivesZero() throws {
    let problem = try Problem(queryHeads: 4, kvHeads: 2, headDim: 12, tokens: 30, rows: 100)
    let zero = Tensor(
      [Float](repeating: 0, count: 4 * 30 * 12), heads: 4, tokens: 30, headDim: 12, type: .float32)
    let rows = GradientRows(heads: 2, rows: 100, headDim: 12)
    let dQueries = backward(
      problem.shape, problem.q.view, forward: problem.forward(), dOut: zero.view,
      [[(block(problem.k, problem.v, rows: 0..<100), rows.from(0))]])
    #expect((dQueries + rows.floats(rows.dKeys) + rows.floats(rows.dValues)).allSatisfy { $0 == 0 })
  }

  @Test func queriesThatSawNothingAddNothing() throws {
    var problem = try Problem(queryHeads: 2, kvHeads: 1, headDim: 8, tokens: 6, rows: 5)
    problem.open = 0
    problem.firstQueryPosition = -3  // the first three stand before every row
    let forward = problem.forward()
    #expect(Array(forward.lse[0..<6]) == [Float](repeating: -.infinity, count: 6))
    let got = problem.gradients()
    #expect(got.difference(from: problem.reference()) <= 2e-6)
    #expect(got.dQueries[0..<48].allSatisfy { $0 == 0 })
    // Nor do they where a call shows them rows after all.
    let rows = GradientRows(heads: 1, rows: 5, headDim: 8)
    let nothing = backward(
      problem.shape, problem.q.view.slice(tokens: 0..<3),
      forward: Attended(out: Array(forward.out[0..<48]), lse: Array(forward.lse[0..<6])),
      dOut: problem.dOut.view.slice(tokens: 0..<3),
      [[(block(problem.k, problem.v, rows: 0..<5), rows.from(0))]])
    #expect((nothing + rows.floats(rows.dKeys) + rows.floats(rows.dValues)).allSatisfy { $0 == 0 })
    // No block, no gradient.
    #expect(
      backward(problem.shape, problem.q.view, forward: forward, dOut: problem.dOut.view, [[]])
        .allSatisfy { $0 == 0 })
  }
}
