/// Attention of one session, whoever computes it: the forward pass hands over each layer's queries, keys and values and gets
/// the attention's output back.
///
/// Layers are called in order, 0 to the last, for each chunk of tokens. K and V are appended to what the layer has seen, then
/// every query attends over what the session lets it see, itself included.
public protocol StepAttention {
  /// Appends a chunk to one layer and attends.
  ///
  /// - Parameters:
  ///   - layer: from 0.
  ///   - queries: `[tokens, queryHeads, headDim]`, f32, row-major, after RoPE.
  ///   - keys: `[tokens, kvHeads, headDim]`, f32, row-major, after RoPE.
  ///   - values: like `keys`.
  ///   - tokens: tokens of the chunk.
  ///   - out: `[tokens, queryHeads, headDim]`, f32, row-major; every element is written. Scores are scaled by `1/√headDim`.
  func step(
    layer: Int, queries: UnsafeBufferPointer<Float>, keys: UnsafeBufferPointer<Float>,
    values: UnsafeBufferPointer<Float>, tokens: Int, into out: UnsafeMutableBufferPointer<Float>
  ) throws
}
