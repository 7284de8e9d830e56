import LagKV
import SparseAttention
import Testing

@Suite struct MergeTests {
  /// Merges f32 parts `[tokens, heads, headDim]`.
  private func merge(_ parts: [Attended], tokens: Int, heads: Int, headDim: Int) -> Attended {
    let outCount = tokens * heads * headDim
    let lseCount = tokens * heads
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: 4 * (parts.count + 1) * (outCount + lseCount), alignment: 16)
    defer { memory.deallocate() }
    var views: [AttentionPart] = []
    for i in 0...parts.count {
      let out = memory + 4 * i * (outCount + lseCount)
      let lse = out + 4 * outCount
      if i < parts.count {
        for (c, value) in parts[i].out.enumerated() {
          out.storeBytes(of: value, toByteOffset: 4 * c, as: Float.self)
        }
        for (c, value) in parts[i].lse.enumerated() {
          lse.storeBytes(of: value, toByteOffset: 4 * c, as: Float.self)
        }
      }
      views.append(
        AttentionPart(
          out: .tokenMajor(out, tokens: tokens, heads: heads, headDim: headDim),
          logSumExp: .tokenMajor(lse, tokens: tokens, heads: heads)))
    }
    let result = views.removeLast()
    mergeByLogSumExp(views, out: result.out, logSumExp: result.logSumExp)
    func floats(_ base: UnsafeMutableRawPointer, _ count: Int) -> [Float] {
      (0..<count).map { base.load(fromByteOffset: 4 * $0, as: Float.self) }
    }
    return Attended(out: floats(result.out.base, outCount), lse: floats(result.logSumExp.base, lseCount))
  }

  @Test func partsMergeToTheWholeInAnyOrder() throws {
    let shape = try AttentionShape(queryHeads: 4, kvHeads: 2, headDim: 24)
    let q = Tensor(random: 1, heads: 4, tokens: 6, headDim: 24, type: .float32)
    let k = Tensor(random: 2, heads: 2, tokens: 200, headDim: 24, type: .float32, scale: 3)
    let v = Tensor(random: 3, heads: 2, tokens: 200, headDim: 24, type: .float32)
    let whole = attend(
      shape, q.view, firstQueryPosition: 180, [[block(k, v, rows: 0..<200, firstPosition: 0)]])
    // The last part is not seen by the first queries at all.
    let parts = [0..<3, 3..<120, 120..<183, 183..<200].map { rows in
      attend(
        shape, q.view, firstQueryPosition: 180, [[block(k, v, rows: rows, firstPosition: rows.lowerBound)]])
    }
    #expect(parts[3].lse[0] == -.infinity)
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
      let merged = merge(order.map { parts[$0] }, tokens: 6, heads: 4, headDim: 24)
      #expect(merged.difference(from: whole) <= 2e-6)
    }
    #expect(merge([parts[1]], tokens: 6, heads: 4, headDim: 24).difference(from: parts[1]) <= 1e-7)
  }

  @Test func nothingMergesToNothing() {
    let nothing = Attended(out: [0, 0], lse: [-.infinity])
    #expect(merge([], tokens: 1, heads: 1, headDim: 2) == nothing)
    // A part that saw no key does not count, whatever its values hold.
    let unseen = Attended(out: [.nan, 5], lse: [-.infinity])
    #expect(merge([unseen, unseen], tokens: 1, heads: 1, headDim: 2) == nothing)
    let seen = Attended(out: [1, 2], lse: [100])
    #expect(merge([unseen, seen], tokens: 1, heads: 1, headDim: 2) == seen)
  }
}
