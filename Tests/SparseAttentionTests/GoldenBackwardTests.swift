import GoldenCases
import LagKV
import SparseAttention
import Testing

/// LRSA's backward pass over a whole document, chunk by chunk from the last to the first, against the gradients
/// of the masked pass that the goldens hold.
@Suite struct GoldenBackwardTests {
  private static let tolerance = 1e-5
  private static var cases: [GoldenCase] { GoldenCase.fixtures.filter { $0.kind == .lrsa } }

  @Test(arguments: cases, [1, 3, 7, 1000])
  func chunksGiveTheMaskedPassesGradients(golden: GoldenCase, length: Int) throws {
    let shape = try AttentionShape(
      queryHeads: golden.queryHeads, kvHeads: golden.kvHeads, headDim: golden.headDim)
    let document = try LRSADocument(golden)
    let replay = document.replay

    // Forward, and its results for each chunk.
    let chunks = replay.chunks(ofAtMost: length)
    #expect(chunks.flatMap(\.positions) == Array(0..<golden.tokens))
    let forward = chunks.map { chunk in
      attend(
        shape, document.q.view.slice(tokens: chunk.positions), firstQueryPosition: chunk.positions.lowerBound,
        [document.parts(chunk).map(\.block)])
    }
    let whole = Attended(out: forward.flatMap(\.out), lse: forward.flatMap(\.lse))
    let expectedForward = Attended(
      out: document.tokenMajor(try golden.floats("out")), lse: document.tokenMajor(try golden.floats("lse")))
    #expect(whole.difference(from: expectedForward) <= 5e-6)

    // Backward: terms of later chunks wait in `rows`, by position, or in `kept`, in the order of the kept rows.
    let rows = GradientRows(heads: shape.kvHeads, rows: golden.tokens, headDim: shape.headDim)
    let kept = GradientRows(
      heads: shape.kvHeads, rows: document.keptKeys.tokens, headDim: shape.headDim)
    var dQueries = [Float](repeating: .nan, count: whole.out.count)
    let dSums = golden.tensors.contains("u") ? document.tokenMajor(try golden.floats("u")) : nil
    var consumed = Set<Int>()
    for (chunk, forward) in zip(chunks, forward).reversed() {
      if let partition = chunk.partition, consumed.insert(partition).inserted {
        // All readers of this partition's kept rows as such have been: their terms join those of the window.
        document.forEachKept(ofPartition: partition) { head, row, position in
          rows.add(kept, row: row, head: head, to: position)
        }
      }
      let parts = document.parts(chunk).map { part in
        (part.block, part.isKept ? kept.from(part.first) : rows.from(part.first))
      }
      let step = backward(
        shape, document.q.view.slice(tokens: chunk.positions), forward: forward,
        dOut: document.w.view.slice(tokens: chunk.positions),
        dLogSumExp: dSums.map {
          Array($0.dropFirst(chunk.positions.lowerBound * shape.queryHeads).prefix(forward.lse.count))
        },
        firstQueryPosition: chunk.positions.lowerBound, [parts])
      dQueries.replaceSubrange(
        chunk.positions.lowerBound * shape.queryHeads * shape.headDim..<chunk.positions.upperBound
          * shape.queryHeads * shape.headDim, with: step)
    }
    let dqError = largestDifference(dQueries, document.tokenMajor(try golden.floats("dq")))
    let dkError = largestDifference(rows.floats(rows.dKeys), try golden.floats("dk"))
    let dvError = largestDifference(rows.floats(rows.dValues), try golden.floats("dv"))
    #expect(dqError <= Self.tolerance)
    #expect(dkError <= Self.tolerance)
    #expect(dvError <= Self.tolerance)
  }

  /// The replay's view of every query is the golden's mask, key by key.
  @Test(arguments: cases, [1, 5, 1000])
  func replaySeesWhatTheMaskShows(golden: GoldenCase, length: Int) throws {
    let document = try LRSADocument(golden)
    let mask = try golden.tensors.tensor("mask").bytes
    for chunk in document.replay.chunks(ofAtMost: length) {
      for head in 0..<golden.kvHeads {
        let kept = Set(document.selected[head][0..<chunk.keptRows])
        for t in chunk.positions {
          for key in 0..<golden.tokens {
            let sees =
              kept.contains(key) || (key <= t && (chunk.sinks.contains(key) || chunk.window.contains(key)))
            if (mask[(head * golden.tokens + t) * golden.tokens + key] != 0) != sees {
              Issue.record("head \(head), query \(t), key \(key)")
              return
            }
          }
        }
      }
    }
  }
}

/// A golden's document, laid out as the store would: all rows by position, and the kept ones in their stream.
private struct LRSADocument {
  let replay: LRSAReplay
  let q, k, v, w: Tensor
  let keptKeys, keptValues: Tensor
  /// The positions of the kept rows, per KV head.
  let selected: [[Int]]

  init(_ golden: GoldenCase) throws {
    func tensor(_ name: String) throws -> Tensor {
      let shape = try golden.tensors.tensor(name).shape
      return Tensor(
        try golden.floats(name), heads: shape[0], tokens: shape[1], headDim: shape[2],
        type: ["k", "v"].contains(name) ? golden.sessionType : golden.elementType)
    }
    replay = LRSAReplay(geometry: try golden.retention.geometry(layer: 0), tokens: golden.tokens)
    (q, k, v, w) = (try tensor("q"), try tensor("k"), try tensor("v"), try tensor("w"))
    let all = try golden.integers("selected")
    let count = all.count / golden.kvHeads
    let selected = (0..<golden.kvHeads).map { Array(all[$0 * count..<($0 + 1) * count]) }
    func gathered(_ tensor: Tensor) -> Tensor {
      let values = selected.enumerated().flatMap { head, rows in rows.flatMap { tensor.row(head, $0) } }
      return Tensor(values, heads: tensor.heads, tokens: count, headDim: tensor.headDim, type: tensor.type)
    }
    (keptKeys, keptValues) = (gathered(k), gathered(v))
    self.selected = selected
  }

  /// What the queries of a chunk see, in pieces from row `first` of all rows or of the kept ones.
  func parts(_ chunk: LRSAReplay.Chunk) -> [(block: KeyValueBlock, first: Int, isKept: Bool)] {
    [
      (block(k, v, rows: chunk.sinks, firstPosition: 0), 0, false),
      (block(keptKeys, keptValues, rows: 0..<chunk.keptRows), 0, true),
      (
        block(k, v, rows: chunk.window, firstPosition: chunk.window.lowerBound), chunk.window.lowerBound,
        false
      ),
    ].filter { $0.0.rows > 0 }
  }

  func forEachKept(ofPartition partition: Int, _ body: (_ head: Int, _ row: Int, _ position: Int) -> Void) {
    for row in replay.keptRows(ofPartition: partition) where row < keptKeys.tokens {
      for head in selected.indices { body(head, row, selected[head][row]) }
    }
  }

  /// `[heads, tokens, …]` to `[tokens, heads, …]`.
  func tokenMajor(_ values: [Float]) -> [Float] {
    let width = values.count / (q.heads * q.tokens)
    return (0..<q.tokens).flatMap { token in
      (0..<q.heads).flatMap { head -> ArraySlice<Float> in
        let start = (head * q.tokens + token) * width
        return values[start..<start + width]
      }
    }
  }
}
