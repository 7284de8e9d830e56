/// Activations of a batch of tokens, reused from layer to layer.
struct ForwardScratch: ~Copyable {
  let rows: Int
  /// `[rows, hiddenSize]`: a normalised input, then the output of a branch.
  let normed: FloatBuffer
  /// `[rows, queryHeads, headDim]`.
  let queries: FloatBuffer
  /// `[rows, kvHeads, headDim]`.
  let keys: FloatBuffer
  let values: FloatBuffer
  /// `[rows, queryHeads, headDim]`.
  let attended: FloatBuffer
  /// `[rows, intermediateSize]`.
  let gate: FloatBuffer
  let up: FloatBuffer

  init(_ configuration: ModelConfiguration, rows: Int) {
    self.rows = rows
    let queryWidth = rows * configuration.queryHeads * configuration.headDim
    let keyWidth = rows * configuration.kvHeads * configuration.headDim
    normed = FloatBuffer(count: rows * configuration.hiddenSize)
    queries = FloatBuffer(count: queryWidth)
    keys = FloatBuffer(count: keyWidth)
    values = FloatBuffer(count: keyWidth)
    attended = FloatBuffer(count: queryWidth)
    gate = FloatBuffer(count: rows * configuration.intermediateSize)
    up = FloatBuffer(count: rows * configuration.intermediateSize)
  }
}

extension ModelConfiguration {
  /// Bytes of activations of a forward pass over `rows` tokens, the logits of one of them included.
  public func activationBytes(rows: Int) -> Int {
    let attention = 2 * queryHeads * headDim + 2 * kvHeads * headDim + headDim
    let perRow = 2 * hiddenSize + attention + 2 * intermediateSize
    return (rows * perRow + 2 * hiddenSize + 2 * vocabularySize) * MemoryLayout<Float>.size
  }
}
