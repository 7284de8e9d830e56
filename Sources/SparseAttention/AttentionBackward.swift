import Kernels
import LagKV

/// The backward pass of an ``AttentionAccumulator``: the gradients of queries, keys and values from that of the
/// output, with keys and values that come in pieces, as they did there.
///
/// With `P = exp(scale · q kᵀ − lse)` computed again, a tile at a time, and `D = Σ dOut ∘ out` per query and
/// head:
///
///     dS = P ∘ (dOut vᵀ − D + dLse)    dq = scale · dS k    dk = scale · dSᵀ q    dv = Pᵀ dOut
///
/// dk and dv sum over the queries and the query heads of a KV head. `out` and `lse` are those of **all** rows
/// that a query sees, whatever part of them is added here: parts add up to the whole.
///
/// On one CPU, results depend on the queries, the blocks and their order, and not on the number of threads. A
/// row's dk and dv depend on the row and the queries alone, not on how rows are cut into blocks and calls.
public struct AttentionBackward: ~Copyable {
  public let shape: AttentionShape
  /// Queries per head.
  public let tokens: Int
  /// The position of the first query; they follow each other.
  public let firstQueryPosition: Int

  let layout: QueryRows
  /// Owned, 64-byte aligned: queries `[kvHeads, rowsPerHead, padded]`, dOut and dQueries (the same),
  /// log-sum-exp `[kvHeads, rowsPerHead]`, delta (the same). dQueries are those of the scaled queries.
  let storage: UnsafeMutablePointer<Float>
  /// Owned; see ``PackedQueries/narrow``.
  let narrow: UnsafeMutablePointer<UInt16>?
  /// Owned; what ``add(_:into:pool:)`` works in, kept from call to call.
  var workspace = ScratchFloats()

  /// Converts queries and dOut to f32 and takes `D`, once.
  /// - Parameters:
  ///   - queries: `[tokens, queryHeads, headDim]`, finite.
  ///   - out: what the forward pass gave for them, `[tokens, queryHeads, headDim]`.
  ///   - logSumExp: what it gave besides, f32 `[tokens, queryHeads]`. A query with -infinity saw no row; its gradient is 0
  ///     and it adds nothing to others.
  ///   - dOut: the gradient of `out`, `[tokens, queryHeads, headDim]`, finite.
  ///   - dLogSumExp: the gradient of `logSumExp`, f32 `[tokens, queryHeads]`; 0 if nil.
  ///   - pool: as in `add`.
  public init(
    shape: AttentionShape, queries: TensorView, out: TensorView, logSumExp: LogSumExpView, dOut: TensorView,
    dLogSumExp: LogSumExpView? = nil, firstQueryPosition: Int, pool: WorkerPool? = nil
  ) {
    for tensor in [queries, out, dOut] {
      precondition(tensor.heads == shape.queryHeads && tensor.headDim == shape.headDim)
      precondition(tensor.tokens == queries.tokens)
    }
    for values in [logSumExp, dLogSumExp ?? logSumExp] {
      precondition(values.heads == shape.queryHeads && values.tokens == queries.tokens)
    }
    self.shape = shape
    self.tokens = queries.tokens
    self.firstQueryPosition = firstQueryPosition
    layout = QueryRows(shape: shape, tokens: queries.tokens)
    storage = QueryRows.allocate(Float.self, 3 * layout.floats + 2 * layout.count)
    layout.pack(queries, scale: shape.scale, to: storage, pool)
    narrow = PackedQueries.narrow(queries, layout, pool)
    layout.pack(dOut, scale: 1, to: storage + layout.floats, pool)
    clearGradients(pool)
    takeDelta(out: out, logSumExp: logSumExp, dLogSumExp: dLogSumExp, pool)
  }

  deinit {
    // They came from `allocate` and nothing else holds them: kernels keep no pointer.
    storage.deallocate()
    narrow?.deallocate()
  }

  private func clearGradients(_ pool: WorkerPool?) {
    let (layout, gradients) = (layout, storage + 2 * layout.floats)
    let floats = layout.perHead * layout.padded
    layout.forEachHead(pool) { (gradients + $0 * floats).initialize(repeating: 0, count: floats) }
  }

  /// `delta = Σ dOut ∘ out − dLse`, summed in double precision.
  private func takeDelta(
    out: TensorView, logSumExp: LogSumExpView, dLogSumExp: LogSumExpView?, _ pool: WorkerPool?
  ) {
    let (layout, dOut) = (layout, storage + layout.floats)
    let lse = storage + 3 * layout.floats
    let delta = lse + layout.count
    layout.forEachRow(pool) { row, token, head in
      withUnsafeTemporaryAllocation(of: Float.self, capacity: layout.shape.headDim) { outRow in
        // headDim is at least 1, so the buffer has an address.
        guard let outRow = outRow.baseAddress else { return }
        lagoon_convert(
          out.row(token: token, head: head), out.elementType.rawValue, outRow, UInt8(LAGOON_F32),
          layout.shape.headDim)
        let gradient = dOut + row * layout.padded
        var sum = 0.0
        for c in 0..<layout.shape.headDim { sum += Double(gradient[c]) * Double(outRow[c]) }
        lse[row] = logSumExp[token, head]
        delta[row] = Float(sum - Double(dLogSumExp?[token, head] ?? 0))
      }
    }
  }

  /// Writes the gradient of the queries from everything added so far; more can be added after.
  /// - Parameters:
  ///   - dQueries: f32 `[tokens, queryHeads, headDim]`, 0 for a query that saw no row.
  ///   - pool: as in `add`.
  public func finish(dQueries: MutableTensorView, pool: WorkerPool? = nil) {
    precondition(dQueries.tokens == tokens && dQueries.heads == shape.queryHeads)
    precondition(dQueries.headDim == shape.headDim)
    let (layout, gradients) = (layout, storage + 2 * layout.floats)
    layout.forEachRow(pool) { row, token, head in
      lagoon_scale(
        gradients + row * layout.padded, layout.shape.scale,
        dQueries.row(token: token, head: head).assumingMemoryBound(to: Float.self), layout.shape.headDim)
    }
  }
}
