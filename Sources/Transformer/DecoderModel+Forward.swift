/// Of which tokens of a chunk logits are wanted.
public enum LogitRows: Sendable {
  case none, last, all
}

/// A run of tokens of one text, on its way through the decoder.
public struct SequenceChunk<Attention: StepAttention> {
  /// Ids; not empty.
  public let tokens: [UInt32]
  /// Position of the first, for RoPE: how many tokens `attention` has seen before.
  public let startPosition: Int
  /// Sees each layer's chunk once, in order.
  public let attention: Attention

  public init(_ tokens: some Collection<UInt32>, startPosition: Int, attention: Attention) {
    self.tokens = Array(tokens)
    self.startPosition = startPosition
    self.attention = attention
  }
}

extension DecoderModel {
  /// Runs a chunk of tokens through the decoder.
  ///
  /// - Parameter rows: of which tokens logits are computed.
  /// - Returns: logits, f32, `[rows, vocabularySize]` row-major; empty for `.none`.
  /// - Throws: `ModelError` for tokens outside of the vocabulary, before `attention` is called; what `attention` throws.
  public func forward(
    _ tokens: some Collection<UInt32>, startPosition: Int, attention: some StepAttention,
    logits rows: LogitRows
  ) throws -> [Float] {
    let chunk = SequenceChunk(tokens, startPosition: startPosition, attention: attention)
    return try forward([chunk], logits: rows)[0]
  }

  /// Runs chunks of several texts through the decoder together: their tokens are the rows of the same matmuls, and each
  /// text has its own attention. The result of each is what it would be alone, bit for bit.
  ///
  /// - Parameters:
  ///   - batch: any number of chunks; an attention stands in it once.
  ///   - rows: of which tokens of each chunk logits are computed.
  /// - Returns: for each chunk logits, f32, `[rows, vocabularySize]` row-major; empty for `.none`.
  /// - Throws: `ModelError` for tokens outside of the vocabulary, before any attention is called; what attentions throw.
  public func forward(
    _ batch: [SequenceChunk<some StepAttention>], logits rows: LogitRows
  ) throws -> [[Float]] {
    for chunk in batch where chunk.tokens.isEmpty || chunk.startPosition < 0 {
      throw ModelError(.invalidArgument, "\(chunk.tokens.count) tokens at position \(chunk.startPosition)")
    }
    if batch.isEmpty { return [] }
    let hidden = try hiddenStates(batch, needed: rows != .none)
    let width = configuration.hiddenSize
    var wanted: [Int] = []
    var first = 0
    for chunk in batch {
      switch rows {
      case .none: break
      case .all: wanted += first..<first + chunk.tokens.count
      case .last: wanted.append(first + chunk.tokens.count - 1)
      }
      first += chunk.tokens.count
    }
    let chosen = FloatBuffer(count: wanted.count * width)
    for (row, token) in wanted.enumerated() {
      _ = chosen.writable(row * width..<(row + 1) * width).update(
        fromContentsOf: hidden.readable(token * width..<(token + 1) * width))
    }
    let all = try logits(chosen.readable(chosen.count), rows: wanted.count)
    var result: [[Float]] = []
    var at = 0
    for chunk in batch {
      let count = (rows == .all ? chunk.tokens.count : rows == .last ? 1 : 0) * configuration.vocabularySize
      result.append(Array(all[at..<at + count]))
      at += count
    }
    return result
  }

  /// The residual stream after the last layer, before the final norm: `[tokens, hiddenSize]`, chunk after chunk.
  ///
  /// - Parameter needed: whether the result is used; otherwise the last layer stops once its K and V are handed over.
  private func hiddenStates(
    _ batch: [SequenceChunk<some StepAttention>], needed: Bool
  ) throws -> FloatBuffer {
    let tokens = batch.flatMap(\.tokens)
    let hidden = FloatBuffer(count: tokens.count * configuration.hiddenSize)
    try embedding.forward(tokens, into: hidden.writable(hidden.count))
    let scratch = ForwardScratch(configuration, rows: tokens.count)
    var table = RotaryEmbedding.Table()
    for chunk in batch {
      rotary.append(positions: chunk.startPosition..<chunk.startPosition + chunk.tokens.count, to: &table)
    }
    for (index, layer) in layers.enumerated() {
      try project(layer, hidden, scratch, table)
      try attend(index, batch, scratch)
      if !needed, index == layers.count - 1 { break }
      try layer.output.forward(
        scratch.attended.readable(scratch.attended.count), rows: tokens.count,
        into: scratch.normed.writable(hidden.count))
      add(scratch.normed, to: hidden)
      try multilayerPerceptron(layer, hidden, scratch)
      add(scratch.normed, to: hidden)
    }
    return hidden
  }

  /// Norm, projections, norms of heads and RoPE of one layer, into `scratch.queries`, `keys` and `values`.
  private func project(
    _ layer: DecoderLayer, _ hidden: borrowing FloatBuffer, _ scratch: borrowing ForwardScratch,
    _ table: RotaryEmbedding.Table
  ) throws(ModelError) {
    let rows = table.rows
    let normed = scratch.normed.writable(hidden.count)
    layer.attentionNorm.forward(hidden.readable(hidden.count), rows: rows, into: normed)
    let queries = scratch.queries.writable(scratch.queries.count)
    let keys = scratch.keys.writable(scratch.keys.count)
    let values = scratch.values.writable(scratch.values.count)
    try layer.queries.forward(UnsafeBufferPointer(normed), rows: rows, into: queries)
    try layer.keys.forward(UnsafeBufferPointer(normed), rows: rows, into: keys)
    try layer.values.forward(UnsafeBufferPointer(normed), rows: rows, into: values)
    let c = configuration
    layer.queryNorm?.forward(UnsafeBufferPointer(queries), rows: rows * c.queryHeads, into: queries)
    layer.keyNorm?.forward(UnsafeBufferPointer(keys), rows: rows * c.kvHeads, into: keys)
    rotary.forward(queries, heads: c.queryHeads, table: table)
    rotary.forward(keys, heads: c.kvHeads, table: table)
  }

  /// Each chunk's attention, from `scratch.queries`, `keys` and `values` into `scratch.attended`.
  private func attend(
    _ layer: Int, _ batch: [SequenceChunk<some StepAttention>], _ scratch: borrowing ForwardScratch
  ) throws {
    let queryWidth = configuration.queryHeads * configuration.headDim
    let keyWidth = configuration.kvHeads * configuration.headDim
    var first = 0
    for chunk in batch {
      let rows = first..<first + chunk.tokens.count
      let queryRange = rows.lowerBound * queryWidth..<rows.upperBound * queryWidth
      let keyRange = rows.lowerBound * keyWidth..<rows.upperBound * keyWidth
      try chunk.attention.step(
        layer: layer, queries: scratch.queries.readable(queryRange), keys: scratch.keys.readable(keyRange),
        values: scratch.values.readable(keyRange), tokens: rows.count,
        into: scratch.attended.writable(queryRange))
      first = rows.upperBound
    }
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
    SwiGLU.forward(gate: UnsafeBufferPointer(gate), up: UnsafeBufferPointer(up), into: gate)
    try layer.down.forward(UnsafeBufferPointer(gate), rows: rows, into: normed)
  }

  private func add(_ branch: borrowing FloatBuffer, to hidden: borrowing FloatBuffer) {
    hidden.writable(hidden.count).setToSum(hidden.readable(hidden.count), branch.readable(hidden.count))
  }

  /// Final norm and head of `[rows, hiddenSize]`.
  private func logits(_ hidden: UnsafeBufferPointer<Float>, rows: Int) throws(ModelError) -> [Float] {
    guard rows > 0 else { return [] }
    let normed = FloatBuffer(count: hidden.count)
    finalNorm.forward(hidden, rows: rows, into: normed.writable(hidden.count))
    let count = rows * configuration.vocabularySize
    let result = FloatBuffer(count: count)
    try head.forward(normed.readable(hidden.count), rows: rows, into: result.writable(count))
    return Array(result.readable(count))
  }
}
