extension TrainableDecoder {
  /// Runs chunks forward and keeps nothing.
  ///
  /// Without targets it ends when the last layer's attention has its keys and values: a document's first pass.
  ///
  /// - Parameters:
  ///   - batch: chunks of different documents: their tokens are the rows of the same matmuls, and the result of each is what it
  ///     would be alone.
  ///   - scale: factor of the loss.
  /// - Returns: `scale` times the sum of the cross-entropies of the targets, in nats; 0 without any.
  /// - Throws: `ModelError` for tokens or targets that are not of the vocabulary, before any attention is called; what attentions
  ///   throw.
  public func forward(_ batch: [TrainingChunk<some TrainingAttention>], scale: Double = 1) throws -> Double {
    let targets = batch.flatMap(\.targets)
    let isNeeded = targets.contains { $0 != nil }
    try run(batch, &passing, through: isNeeded)
    guard isNeeded else { return 0 }
    let hidden = passing.hidden(configuration.layers)
    finalNorm.forward(UnsafeBufferPointer(hidden), rows: passing.rows, into: hidden)
    return try head.forward(UnsafeBufferPointer(hidden), targets: targets, scale: scale)
  }

  /// Runs chunks forward and keeps what ``backward(_:_:scale:)`` needs.
  ///
  /// - Parameters:
  ///   - batch: as for ``forward(_:scale:)``.
  ///   - saved: of this decoder's configuration; overwritten.
  public func forward(
    _ batch: [TrainingChunk<some TrainingAttention>], saving saved: inout SavedActivations
  ) throws {
    try run(batch, &saved, through: true)
  }

  /// - Parameter through: whether what comes after the last layer's attention is used.
  private func run(
    _ batch: [TrainingChunk<some TrainingAttention>], _ saved: inout SavedActivations, through: Bool
  ) throws {
    try check(batch)
    guard saved.configuration == configuration else {
      throw ModelError(.invalidArgument, "the saved activations are those of another configuration")
    }
    let tokens = batch.flatMap(\.tokens)
    let chunks = batch.map(\.positions)
    let table = angles(chunks)
    saved.begin(tokens: tokens, chunks: chunks, table: table)
    try embedding.forward(tokens, into: saved.hidden(0))
    if forwardScratch.rows != tokens.count {
      forwardScratch = ForwardScratch(configuration, rows: tokens.count)
    }
    for index in layers.indices {
      let activations = saved.layer(index)
      try project(layers[index], saved.hidden(index), activations, forwardScratch, table)
      try attend(index, batch, activations, forwardScratch)
      if !through, index == layers.count - 1 { return }
      let normed = forwardScratch.normed.writable(forwardScratch.normed.count)
      try layers[index].output.forward(
        UnsafeBufferPointer(activations.attended), rows: tokens.count, into: normed)
      activations.middle.setToSum(UnsafeBufferPointer(saved.hidden(index)), UnsafeBufferPointer(normed))
      try multilayerPerceptron(layers[index], activations, forwardScratch, rows: tokens.count)
      saved.hidden(index + 1).setToSum(
        UnsafeBufferPointer(activations.middle), UnsafeBufferPointer(normed))
    }
    saved.isComplete = true
  }

  /// Refuses what the passes cannot run, before any attention has seen anything.
  func check(_ batch: [TrainingChunk<some TrainingAttention>]) throws(ModelError) {
    for chunk in batch {
      guard !chunk.tokens.isEmpty, chunk.startPosition >= 0 else {
        throw ModelError(
          .invalidArgument, "\(chunk.tokens.count) tokens at position \(chunk.startPosition)")
      }
      guard chunk.targets.count == chunk.tokens.count else {
        throw ModelError(.invalidArgument, "\(chunk.targets.count) targets of \(chunk.tokens.count) tokens")
      }
      for target in chunk.targets {
        guard let target, target >= configuration.vocabularySize else { continue }
        throw ModelError(
          .invalidArgument, "target \(target) is outside of the vocabulary of \(configuration.vocabularySize)"
        )
      }
    }
  }

  /// Norm, projections, norms of heads and RoPE of one layer; keys and values into `scratch`.
  private func project(
    _ layer: TrainableLayer, _ hidden: UnsafeMutableBufferPointer<Float>, _ saved: LayerActivations,
    _ scratch: borrowing ForwardScratch, _ table: RotaryEmbedding.Table
  ) throws(ModelError) {
    let (rows, c) = (table.rows, configuration)
    let normed = scratch.normed.writable(scratch.normed.count)
    let keys = scratch.keys.writable(scratch.keys.count)
    layer.attentionNorm.forward(UnsafeBufferPointer(hidden), rows: rows, into: normed)
    let input = UnsafeBufferPointer(normed)
    try layer.values.forward(input, rows: rows, into: scratch.values.writable(scratch.values.count))
    if let queryNorm = layer.queryNorm, let keyNorm = layer.keyNorm {
      try layer.queries.forward(input, rows: rows, into: saved.plainQueries)
      try layer.keys.forward(input, rows: rows, into: saved.plainKeys)
      queryNorm.forward(
        UnsafeBufferPointer(saved.plainQueries), rows: rows * c.queryHeads, into: saved.queries)
      keyNorm.forward(UnsafeBufferPointer(saved.plainKeys), rows: rows * c.kvHeads, into: keys)
    } else {
      try layer.queries.forward(input, rows: rows, into: saved.queries)
      try layer.keys.forward(input, rows: rows, into: keys)
    }
    rotary.forward(saved.queries, heads: c.queryHeads, table: table)
    rotary.forward(keys, heads: c.kvHeads, table: table)
  }

  /// Each chunk's attention.
  private func attend(
    _ layer: Int, _ batch: [TrainingChunk<some TrainingAttention>], _ saved: LayerActivations,
    _ scratch: borrowing ForwardScratch
  ) throws {
    for (chunk, rows) in zip(batch, rowRanges(batch)) {
      try chunk.attention.step(
        layer: layer, from: chunk.startPosition,
        queries: UnsafeBufferPointer(saved.queries.rows(rows, of: queryWidth)),
        keys: scratch.keys.readable(rows.scaled(by: keyWidth)),
        values: scratch.values.readable(rows.scaled(by: keyWidth)), tokens: rows.count,
        into: saved.attended.rows(rows, of: queryWidth),
        logSumExp: saved.logSumExp.rows(rows, of: configuration.queryHeads))
    }
  }

  /// Norm and gated MLP of one layer, into `scratch.normed`.
  private func multilayerPerceptron(
    _ layer: TrainableLayer, _ saved: LayerActivations, _ scratch: borrowing ForwardScratch, rows: Int
  ) throws(ModelError) {
    let normed = scratch.normed.writable(scratch.normed.count)
    let activated = scratch.gate.writable(scratch.gate.count)
    layer.mlpNorm.forward(UnsafeBufferPointer(saved.middle), rows: rows, into: normed)
    try layer.gate.forward(UnsafeBufferPointer(normed), rows: rows, into: saved.gate)
    try layer.up.forward(UnsafeBufferPointer(normed), rows: rows, into: saved.up)
    SwiGLU.forward(
      gate: UnsafeBufferPointer(saved.gate), up: UnsafeBufferPointer(saved.up), into: activated)
    try layer.down.forward(UnsafeBufferPointer(activated), rows: rows, into: normed)
  }

  /// RoPE's cosines and sines of these positions: those of the last call where they are the same, as in every step of dense
  /// training.
  private func angles(_ chunks: [Range<Int>]) -> RotaryEmbedding.Table {
    if lastAngles.chunks == chunks { return lastAngles.table }
    var table = RotaryEmbedding.Table()
    for chunk in chunks { rotary.append(positions: chunk, to: &table) }
    lastAngles = (chunks, table)
    return table
  }
}

extension TrainableDecoder {
  var queryWidth: Int { configuration.queryHeads * configuration.headDim }
  var keyWidth: Int { configuration.kvHeads * configuration.headDim }

  /// The rows of each chunk in the batch.
  func rowRanges(_ batch: [TrainingChunk<some TrainingAttention>]) -> [Range<Int>] {
    var first = 0
    return batch.map { chunk in
      defer { first += chunk.tokens.count }
      return first..<first + chunk.tokens.count
    }
  }
}

extension TrainingChunk {
  var positions: Range<Int> { startPosition..<startPosition + tokens.count }
}
