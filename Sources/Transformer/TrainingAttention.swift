/// Attention of one document that can be walked backwards: the forward pass's contract and its transpose.
///
/// A document is cut into chunks of tokens; every call says at which position its chunk begins.
///
/// **Forward.** Chunks ascend, and layers ascend within a chunk: ``step(layer:from:queries:keys:values:tokens:into:logSumExp:)``
/// appends. A chunk that the layer has seen before (`from` lies below what it has seen) is a recomputation: keys and values are,
/// bit for bit, what was given then, nothing is appended, and the queries see what they saw then.
///
/// **Backward.** Chunks descend, layers descend within a chunk: ``stepBackward(layer:from:queries:out:logSumExp:dOut:tokens:dQueries:dKeys:dValues:)``.
/// Each chunk of the document has its turn, from the last whose gradient counts to the first: the gradient that a query sends to
/// keys and values of earlier chunks stays with the attention, and the earlier chunk's own call takes it out, complete.
///
/// With `S = scale · Q·Kᵀ` over what a query sees, `P = softmax(S) = exp(S − logSumExp)` and `out = P·V`:
///
///     dV = Pᵀ · dOut
///     dS = P ∘ (dOut · Vᵀ − rowsum(dOut ∘ out))
///     dQ = scale · dS · K
///     dK = scale · dSᵀ · Q
///
/// where the rows of dK and dV sum over all queries that see the token, and over a KV head's query heads. An attention that
/// rounds K and V treats the rounding as identity; which tokens a query sees is not differentiated. Results repeat bit for bit.
public protocol TrainingAttention: StepAttention {
  /// ``StepAttention/step(layer:queries:keys:values:tokens:into:)`` for training: appends, or computes again.
  ///
  /// - Parameters:
  ///   - layer: from 0.
  ///   - from: position of the chunk's first token; at most what the layer has seen.
  ///   - queries: `[tokens, queryHeads, headDim]`, f32, row-major, after RoPE.
  ///   - keys: `[tokens, kvHeads, headDim]`, f32, row-major, after RoPE.
  ///   - values: like `keys`.
  ///   - tokens: tokens of the chunk.
  ///   - out: like `queries`; every element is written.
  ///   - logSumExp: `[tokens, queryHeads]`, f32: natural logarithm of the sum of the exponentials of a query's scaled scores;
  ///     every element is written.
  func step(
    layer: Int, from: Int, queries: UnsafeBufferPointer<Float>, keys: UnsafeBufferPointer<Float>,
    values: UnsafeBufferPointer<Float>, tokens: Int, into out: UnsafeMutableBufferPointer<Float>,
    logSumExp: UnsafeMutableBufferPointer<Float>
  ) throws

  /// The transpose of a step: gradients of the chunk's own queries, keys and values.
  ///
  /// - Parameters:
  ///   - layer: the last of the chunk first.
  ///   - from: as given to the step.
  ///   - queries: as given to the step.
  ///   - out: what the step wrote.
  ///   - logSumExp: what the step wrote.
  ///   - dOut: gradient of `out`, like it.
  ///   - tokens: tokens of the chunk.
  ///   - dQueries: gradient of `queries`, like them; every element is written, nothing is added to.
  ///   - dKeys: `[tokens, kvHeads, headDim]`, f32; every element is written: the complete gradient of this chunk's own keys, from
  ///     its own queries and from those of all later chunks.
  ///   - dValues: like `dKeys`.
  func stepBackward(
    layer: Int, from: Int, queries: UnsafeBufferPointer<Float>, out: UnsafeBufferPointer<Float>,
    logSumExp: UnsafeBufferPointer<Float>, dOut: UnsafeBufferPointer<Float>, tokens: Int,
    dQueries: UnsafeMutableBufferPointer<Float>, dKeys: UnsafeMutableBufferPointer<Float>,
    dValues: UnsafeMutableBufferPointer<Float>
  ) throws
}
