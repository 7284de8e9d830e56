import CXXHash
import LagKV
import SparseAttention

extension Session {
  /// Begins a backward pass over the session's tokens. The session must not grow until it has ended.
  ///
  /// - Parameters:
  ///   - detachedBefore: what the first step will say. Room is taken now for gradients of tokens from there on; for others as the
  ///     steps descend.
  ///   - owner: where the last chunk's gradients count, which are kept for a call that is sent again.
  /// - Throws: `invalidArgument` without an archive, `quotaExceeded`, `diskFull`, `tooLarge`, `notFound`.
  public func beginBackward(detachedBefore: Int = 0, owner: StagingAccount) throws(StoreError) -> BackwardPass
  {
    let record = try store.environment.read { view throws(StoreError) in try self.record(view) }
    return try BackwardPass(self, record: record, detachedBefore: detachedBefore, owner: owner)
  }
}

extension BackwardPass {
  /// The next chunk and layer, into the caller's memory; see `step`.
  ///
  /// - Parameters:
  ///   - dQueries: f32, the queries' shape.
  ///   - dKeys: f32 `[tokens, kvHeads, headDim]`; `dValues` likewise.
  public func step(
    layer: Int, first: Int, queries: TensorView, out: TensorView, logSumExp: LogSumExpView, dOut: TensorView,
    dLogSumExp: LogSumExpView? = nil, scale: Float? = nil, detachedBefore: Int = 0,
    dQueries: MutableTensorView, dKeys: MutableTensorView, dValues: MutableTensorView
  ) throws(StoreError) {
    let c = session.configuration
    for (what, tensor, heads) in [
      ("the queries' gradient", dQueries, queries.heads), ("the keys' gradient", dKeys, c.kvHeads),
      ("the values' gradient", dValues, c.kvHeads),
    ] where tensor.tokens != queries.tokens || tensor.heads != heads || tensor.headDim != c.headDim {
      throw StoreError(.invalidArgument, "\(what) has another shape", session: c.name, layer: layer)
    }
    let gradients = try step(
      layer: layer, first: first, queries: queries, out: out, logSumExp: logSumExp, dOut: dOut,
      dLogSumExp: dLogSumExp, scale: scale, detachedBefore: detachedBefore)
    for (source, target) in [
      (gradients.queries, dQueries), (gradients.keys, dKeys), (gradients.values, dValues),
    ] {
      source.withUnsafeBytes { bytes in
        // As long as the target, which is not empty.
        guard let base = bytes.baseAddress else { return }
        for token in 0..<target.tokens {
          for head in 0..<target.heads {
            let row = (token * target.heads + head) * target.headDim * 4
            target.row(token: token, head: head).copyMemory(
              from: base + row, byteCount: target.headDim * 4)
          }
        }
      }
    }
  }
}

/// What tells a call that is sent again from another one of the same place.
enum Digest {
  static func of(_ tensors: [TensorView], _ sums: [LogSumExpView]) -> [UInt64] {
    tensors.map { tensor in
      var hash = UInt64(tensor.heads) << 8 | UInt64(tensor.elementType.rawValue)
      for token in 0..<tensor.tokens {
        for head in 0..<tensor.heads {
          hash = XXH3_64bits_withSeed(tensor.row(token: token, head: head), tensor.rowBytes, hash)
        }
      }
      return hash
    }
      + sums.map { sums in
        var hash: UInt64 = 0
        for token in 0..<sums.tokens {
          for head in 0..<sums.heads {
            var bits = sums[token, head].bitPattern
            hash = XXH3_64bits_withSeed(&bits, 4, hash)
          }
        }
        return hash
      }
  }
}
