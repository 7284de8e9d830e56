import Foundation
import KVStore
import Kernels
import LagKV
import SparseAttention

/// The gradients of some tokens in one layer, `[tokens, heads, headDim]` each.
struct LayerGradients: Equatable {
  var queries: [Float]
  var keys: [Float]
  var values: [Float]
}

/// One call of a backward pass: a chunk, and the token before which its queries' gradients to keys and values are dropped.
struct BackwardCut {
  var tokens: Range<Int>
  var detachedBefore = 0
}

/// A document in an archive session, with its forward pass's results: what a backward pass starts from.
final class BackwardDocument {
  let document: Document
  let session: Session
  let tokens: Int
  /// By layer.
  private(set) var forward: [Attended]

  init(_ document: Document, _ session: Session, tokens: Int, cut: Int) throws {
    (self.document, self.session, self.tokens) = (document, session, tokens)
    forward = Array(repeating: Attended(), count: session.configuration.layers)
    let tail = try session.begin(capacity: cut, owner: StagingAccount(cap: 1 << 30))
    for piece in pieces(0..<tokens, cut) {
      for layer in forward.indices {
        forward[layer] = try forward[layer] + tail.step(document, piece, layer: layer)
      }
      try tail.commit(tokenIDs: document.ids(piece), keepWriting: true)
    }
    tail.abort()
  }

  /// The gradient of out, and of the log-sum-exp `[tokens, queryHeads]`: of another layer's rows, so anything.
  func dOut(layer: Int, _ range: Range<Int>) -> [Float] {
    document.rows(.queries, layer: layer + 100, range)
  }

  func dLogSumExp(layer: Int, _ range: Range<Int>) -> [Float] {
    let rows = document.rows(.queries, layer: layer + 200, range)
    return stride(from: 0, to: rows.count, by: document.headDim).map { rows[$0] }
  }

  func step(_ pass: BackwardPass, layer: Int, _ cut: BackwardCut) throws -> LayerGradients {
    let d = document
    let (range, count) = (cut.tokens, cut.tokens.count)
    var results = [d.queryHeads, d.kvHeads, d.kvHeads].map {
      [Float](repeating: .nan, count: count * $0 * d.headDim)
    }
    let width = d.queryHeads * d.headDim
    var out = Array(forward[layer].out[range.lowerBound * width..<range.upperBound * width])
    let heads = d.queryHeads
    var lse = Array(forward[layer].logSumExp[range.lowerBound * heads..<range.upperBound * heads])
    var dLse = dLogSumExp(layer: layer, range)
    func place(_ memory: UnsafeMutablePointer<Float>, _ heads: Int) -> MutableTensorView {
      .tokenMajor(UnsafeMutableRawPointer(memory), tokens: count, heads: heads, headDim: d.headDim)
    }
    let memory = results.map { UnsafeMutablePointer<Float>.allocate(capacity: $0.count) }
    defer { for one in memory { one.deallocate() } }
    try d.rows(.queries, layer: layer, range).view(count, heads, d.headDim) { queries in
      try dOut(layer: layer, range).view(count, heads, d.headDim) { dOut in
        try out.withUnsafeMutableBytes { out in
          try lse.withUnsafeMutableBytes { lse in
            try dLse.withUnsafeMutableBytes { dLse in
              let forward = MutableTensorView.tokenMajor(
                out.baseAddress!, tokens: count, heads: heads, headDim: d.headDim)
              try pass.step(
                layer: layer, first: range.lowerBound, queries: queries, out: forward.readOnly,
                logSumExp: .tokenMajor(lse.baseAddress!, tokens: count, heads: heads), dOut: dOut,
                dLogSumExp: .tokenMajor(dLse.baseAddress!, tokens: count, heads: heads),
                detachedBefore: cut.detachedBefore, dQueries: place(memory[0], heads),
                dKeys: place(memory[1], d.kvHeads), dValues: place(memory[2], d.kvHeads))
            }
          }
        }
      }
    }
    for i in results.indices {
      results[i] = Array(UnsafeBufferPointer(start: memory[i], count: results[i].count))
    }
    return LayerGradients(queries: results[0], keys: results[1], values: results[2])
  }

  /// A whole pass in these cuts (ascending); the gradients of each layer.
  func pass(_ cuts: [BackwardCut], reserving: Int = 0) throws -> [LayerGradients] {
    let pass = try session.beginBackward(detachedBefore: reserving)
    var parts = [[LayerGradients]](repeating: [], count: forward.count)
    for cut in cuts.reversed() {
      for layer in forward.indices.reversed() { parts[layer].append(try step(pass, layer: layer, cut)) }
    }
    return parts.map { parts in
      LayerGradients(
        queries: parts.reversed().flatMap(\.queries), keys: parts.reversed().flatMap(\.keys),
        values: parts.reversed().flatMap(\.values))
    }
  }

  /// The same in f64 from the definition: what each query sees is a mask over the document, and what of a key's or value's
  /// gradient a query may add to is another.
  func expected(layer: Int, _ cuts: [BackwardCut]) throws -> LayerGradients {
    let d = document
    let c = session.configuration
    let geometry = c.retention.geometry(layer: layer)
    let stored = ExpectedLayer(d, c, layer: layer, tokens: tokens)
    func decoded(_ bytes: [UInt8]) -> [Double] {
      var floats = [Float](repeating: 0, count: bytes.count / c.elementType.byteCount)
      floats.withUnsafeMutableBytes {
        lagoon_convert_scalar(bytes, c.elementType.rawValue, $0.baseAddress, 0, $0.count / 4)
      }
      return floats.map { Double($0) }
    }
    let scale = 1 / Double(d.headDim).squareRoot()
    let group = d.queryHeads / d.kvHeads
    let q = d.rows(.queries, layer: layer, 0..<tokens).map { Double($0) }
    let dOut = dOut(layer: layer, 0..<tokens).map { Double($0) }
    let dLse = dLogSumExp(layer: layer, 0..<tokens).map { Double($0) }
    var dq = [Double](repeating: 0, count: q.count)
    var dk = [Double](repeating: 0, count: tokens * d.kvHeads * d.headDim)
    var dv = dk
    for head in 0..<d.queryHeads {
      let kvHead = head / group
      let (keys, values) = (decoded(stored.keys[kvHead]), decoded(stored.values[kvHead]))
      let kept = Set(stored.positions[kvHead].map { Int($0) })
      func dot(_ a: [Double], _ i: Int, _ b: [Double], _ j: Int) -> Double {
        var sum = 0.0
        for x in 0..<d.headDim { sum += a[i + x] * b[j + x] }
        return sum
      }
      for cut in cuts {
        for t in cut.tokens {
          let own = geometry.partition(ofPosition: t)
          let seen = (0...t).filter { j in
            guard let own, let partition = geometry.partition(ofPosition: j) else { return true }
            return partition >= own - 1 || kept.contains(j)
          }
          let row = (t * d.queryHeads + head) * d.headDim
          let logits = seen.map { dot(q, row, keys, $0 * d.headDim) * scale }
          let top = logits.max() ?? 0
          let sum = logits.reduce(0.0) { $0 + exp($1 - top) }
          let weights = logits.map { exp($0 - top) / sum }
          let dP = seen.map { dot(dOut, row, values, $0 * d.headDim) }
          let mean = zip(weights, dP).reduce(0.0) { $0 + $1.0 * $1.1 }
          for (i, j) in seen.enumerated() {
            let dS = weights[i] * (dP[i] - mean + dLse[t * d.queryHeads + head]) * scale
            let target = (j * d.kvHeads + kvHead) * d.headDim
            for x in 0..<d.headDim { dq[row + x] += dS * keys[j * d.headDim + x] }
            if j < cut.detachedBefore { continue }
            for x in 0..<d.headDim {
              dk[target + x] += dS * q[row + x]
              dv[target + x] += weights[i] * dOut[row + x]
            }
          }
        }
      }
    }
    return LayerGradients(
      queries: dq.map { Float($0) }, keys: dk.map { Float($0) }, values: dv.map { Float($0) })
  }
}

extension Session {
  /// With an account of its own.
  func beginBackward(detachedBefore: Int = 0) throws -> BackwardPass {
    try beginBackward(detachedBefore: detachedBefore, owner: StagingAccount(cap: 1 << 30))
  }
}
