import GoldenCases
import LagKV
import SparseAttention
import Testing

@Suite struct GoldenAttentionTests {
  private static let tolerance = 5e-6

  /// Rows at these positions, per head, packed as the store packs kept rows: `[heads, positions, headDim]`.
  private func gathered(_ tensor: Tensor, _ positions: [[Int]]) -> Tensor {
    let values = positions.enumerated().flatMap { head, positions in
      positions.flatMap { tensor.row(head, $0) }
    }
    return Tensor(
      values, heads: tensor.heads, tokens: positions.first?.count ?? 0, headDim: tensor.headDim,
      type: tensor.type)
  }

  /// Splits `[heads, count]` into its heads.
  private func perHead(_ positions: [Int], heads: Int) -> [[Int]] {
    let count = positions.count / heads
    return (0..<heads).map { Array(positions[$0 * count..<($0 + 1) * count]) }
  }

  /// `[heads, tokens, …]` to `[tokens, heads, …]`.
  private func tokenMajor(_ values: [Float], heads: Int, tokens: Int) -> [Float] {
    let width = values.count / (heads * tokens)
    return (0..<tokens).flatMap { token in
      (0..<heads).flatMap { head -> ArraySlice<Float> in
        let start = (head * tokens + token) * width
        return values[start..<start + width]
      }
    }
  }

  private func tensor(_ name: String, _ golden: GoldenCase) throws -> Tensor {
    let shape = try golden.tensors.tensor(name).shape
    return Tensor(
      try golden.floats(name), heads: shape[0], tokens: shape[1], headDim: shape[2],
      type: ["k", "v"].contains(name) ? golden.sessionType : golden.elementType)
  }

  @Test(arguments: GoldenCase.fixtures.filter { $0.kind == .attention })
  func overTheKeptRowsAndOverAll(golden: GoldenCase) throws {
    let shape = try AttentionShape(
      queryHeads: golden.queryHeads, kvHeads: golden.kvHeads, headDim: golden.headDim)
    let q = try tensor("q", golden)
    let k = try tensor("k", golden)
    let v = try tensor("v", golden)
    func expected(_ suffix: String) throws -> Attended {
      Attended(
        out: tokenMajor(try golden.floats("out" + suffix), heads: golden.queryHeads, tokens: q.tokens),
        lse: tokenMajor(try golden.floats("lse" + suffix), heads: golden.queryHeads, tokens: q.tokens))
    }
    let full = attend(shape, q.view, [[block(k, v, rows: 0..<golden.tokens)]])
    #expect(full.difference(from: try expected("_full")) <= Self.tolerance)

    let retained = perHead(try golden.integers("retained"), heads: golden.kvHeads)
    let keptKeys = gathered(k, retained)
    let keptValues = gathered(v, retained)
    let kept = attend(shape, q.view, [[block(keptKeys, keptValues, rows: 0..<golden.keptTokens)]])
    #expect(kept.difference(from: try expected("")) <= Self.tolerance)
  }

  /// LRSA over a whole document: the query at `t` of partition `c` sees the sinks, partitions `c - 1` and `c`
  /// causally, and the kept rows of the partitions before. Cut as `step` cuts, and at other places.
  @Test(arguments: GoldenCase.fixtures.filter { $0.kind == .lrsa }, [1, 3, 7, 1000])
  func stepsGiveTheMaskedPass(golden: GoldenCase, cut: Int) throws {
    let shape = try AttentionShape(
      queryHeads: golden.queryHeads, kvHeads: golden.kvHeads, headDim: golden.headDim)
    let geometry = try golden.retention.geometry(layer: 0)
    let q = try tensor("q", golden)
    let k = try tensor("k", golden)
    let v = try tensor("v", golden)
    let selected = perHead(try golden.integers("selected"), heads: golden.kvHeads)
    let keptKeys = gathered(k, selected)
    let keptValues = gathered(v, selected)

    var got = Attended(out: [], lse: [])
    for start in stride(from: 0, to: golden.tokens, by: cut) {
      for segment in geometry.segments(from: start, count: min(cut, golden.tokens - start)) {
        let positions = segment.positions
        var parts = [block(k, v, rows: 0..<min(geometry.sinks, golden.tokens), firstPosition: 0)]
        if case .partition(let p, _, _) = segment {
          let kept = max(0, p - 1) * geometry.kept
          parts.append(block(keptKeys, keptValues, rows: 0..<kept))
          for window in max(0, p - 1)...p {
            let whole = geometry.positions(ofPartition: window)
            let rows = whole.lowerBound..<min(whole.upperBound, positions.upperBound)
            parts.append(block(k, v, rows: rows, firstPosition: rows.lowerBound))
          }
        }
        let step = attend(
          shape, q.view.slice(tokens: positions), firstQueryPosition: positions.lowerBound, [parts])
        got.out += step.out
        got.lse += step.lse
      }
    }
    let expected = Attended(
      out: tokenMajor(try golden.floats("out"), heads: golden.queryHeads, tokens: golden.tokens),
      lse: tokenMajor(try golden.floats("lse"), heads: golden.queryHeads, tokens: golden.tokens))
    #expect(got.difference(from: expected) <= Self.tolerance)

    // The golden's mask, key by key, is what the blocks above say.
    let mask = try golden.tensors.tensor("mask").bytes
    for head in 0..<golden.kvHeads {
      for t in 0..<golden.tokens {
        let own = geometry.partition(ofPosition: t) ?? 0
        for key in 0..<golden.tokens {
          let partition = geometry.partition(ofPosition: key)
          let sees =
            key <= t && (partition.map { $0 >= own - 1 || selected[head].contains(key) } ?? true)
          if (mask[(head * golden.tokens + t) * golden.tokens + key] != 0) != sees {
            Issue.record("head \(head), query \(t), key \(key)")
            return
          }
        }
      }
    }
  }
}
