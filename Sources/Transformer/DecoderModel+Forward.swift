/// Of which tokens of a chunk logits are wanted.
public enum LogitRows: Sendable {
  case none, last, all
}

extension DecoderModel {
  /// Runs a chunk of tokens through the decoder.
  ///
  /// - Parameters:
  ///   - tokens: ids of the chunk; not empty.
  ///   - startPosition: position of the first, for RoPE: how many tokens `attention` has seen before.
  ///   - attention: sees each layer's chunk once, in order.
  ///   - rows: of which tokens logits are computed.
  /// - Returns: logits, f32, `[rows, vocabularySize]` row-major; empty for `.none`.
  /// - Throws: `ModelError` for tokens outside of the vocabulary, before `attention` is called; what `attention` throws.
  public func forward(
    _ tokens: some Collection<UInt32>, startPosition: Int, attention: some StepAttention,
    logits rows: LogitRows
  ) throws -> [Float] {
    let hidden = try hiddenStates(
      tokens, startPosition: startPosition, attention: attention, needed: rows != .none)
    let width = configuration.hiddenSize
    let all = hidden.readable(tokens.count * width)
    switch rows {
    case .none: return []
    case .all: return try logits(all, rows: tokens.count)
    case .last: return try logits(UnsafeBufferPointer(rebasing: all.suffix(width)), rows: 1)
    }
  }

  /// The residual stream after the last layer, before the final norm: `[tokens, hiddenSize]`.
  ///
  /// - Parameter needed: whether the result is used; otherwise the last layer stops once its K and V are handed over.
  private func hiddenStates(
    _ tokens: some Collection<UInt32>, startPosition: Int, attention: some StepAttention, needed: Bool
  ) throws -> FloatBuffer {
    let count = tokens.count
    guard count > 0, startPosition >= 0 else {
      throw ModelError(.invalidArgument, "\(count) tokens at position \(startPosition)")
    }
    let hidden = FloatBuffer(count: count * configuration.hiddenSize)
    try embedding.forward(tokens, into: hidden.writable(hidden.count))
    let scratch = ForwardScratch(configuration, rows: count)
    let table = rotary.table(positions: startPosition..<startPosition + count)
    for (index, layer) in layers.enumerated() {
      try attend(layer, index, hidden, scratch, table, attention)
      if !needed, index == layers.count - 1 { break }
      try layer.output.forward(
        scratch.attended.readable(scratch.attended.count), rows: count,
        into: scratch.normed.writable(hidden.count))
      add(scratch.normed, to: hidden)
      try multilayerPerceptron(layer, hidden, scratch)
      add(scratch.normed, to: hidden)
    }
    return hidden
  }

  /// Norm, projections, RoPE and the session's attention of one layer, into `scratch.attended`.
  private func attend(
    _ layer: DecoderLayer, _ index: Int, _ hidden: borrowing FloatBuffer, _ scratch: borrowing ForwardScratch,
    _ table: RotaryEmbedding.Table, _ attention: some StepAttention
  ) throws {
    let rows = table.rows
    let normed = scratch.normed.writable(hidden.count)
    layer.attentionNorm.forward(hidden.readable(hidden.count), rows: rows, into: normed)
    let queries = scratch.queries.writable(scratch.queries.count)
    let keys = scratch.keys.writable(scratch.keys.count)
    let values = scratch.values.writable(scratch.values.count)
    try layer.queries.forward(UnsafeBufferPointer(normed), rows: rows, into: queries)
    try layer.keys.forward(UnsafeBufferPointer(normed), rows: rows, into: keys)
    try layer.values.forward(UnsafeBufferPointer(normed), rows: rows, into: values)
    rotary.forward(queries, heads: configuration.queryHeads, table: table)
    rotary.forward(keys, heads: configuration.kvHeads, table: table)
    try attention.step(
      layer: index, queries: UnsafeBufferPointer(queries), keys: UnsafeBufferPointer(keys),
      values: UnsafeBufferPointer(values), tokens: rows,
      into: scratch.attended.writable(scratch.attended.count))
  }

  /// Norm and gated MLP of one layer, into `scratch.normed`.
  private func multilayerPerceptron(
    _ layer: DecoderLayer, _ hidden: borrowing FloatBuffer, _ scratch: borrowing ForwardScratch
  ) throws(ModelError) {
    let rows = hidden.count / configuration.hiddenSize
    let normed = scratch.normed.writable(hidden.count)
    layer.mlpNorm.forward(hidden.readable(hidden.count), rows: rows, into: normed)
    let gate = scratch.gate.writable(scratch.gate.count)
    let up = scratch.up.writable(scratch.up.count)
    try layer.gate.forward(UnsafeBufferPointer(normed), rows: rows, into: gate)
    try layer.up.forward(UnsafeBufferPointer(normed), rows: rows, into: up)
    SwiGLU.forward(gate: gate, up: UnsafeBufferPointer(up))
    try layer.down.forward(UnsafeBufferPointer(gate), rows: rows, into: normed)
  }

  private func add(_ branch: borrowing FloatBuffer, to hidden: borrowing FloatBuffer) {
    let from = branch.readable(hidden.count)
    let to = hidden.writable(hidden.count)
    for index in to.indices { to[index] += from[index] }
  }

  /// Final norm and head.
  private func logits(_ hidden: UnsafeBufferPointer<Float>, rows: Int) throws(ModelError) -> [Float] {
    let normed = FloatBuffer(count: hidden.count)
    finalNorm.forward(hidden, rows: rows, into: normed.writable(hidden.count))
    let count = rows * configuration.vocabularySize
    let result = FloatBuffer(count: count)
    try head.forward(normed.readable(hidden.count), rows: rows, into: result.writable(count))
    return Array(result.readable(count))
  }
}

/// Activations of one chunk, reused from layer to layer.
private struct ForwardScratch: ~Copyable {
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
