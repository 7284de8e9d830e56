extension TrainableDecoder {
  /// Runs chunks backward: adds the gradient of every parameter to ``gradients``.
  ///
  /// Of one document, chunks descend, each after ``forward(_:saving:)`` of the same batch; see ``TrainingAttention`` for what its
  /// attention keeps meanwhile.
  ///
  /// - Parameters:
  ///   - batch: the chunks of the forward pass. Targets count here only.
  ///   - saved: what the forward pass left.
  ///   - scale: factor of the loss, which is a sum: 1 over the number of targets of the whole optimiser step.
  /// - Returns: `scale` times the sum of the cross-entropies of the targets, in nats.
  /// - Throws: `ModelError`, before any gradient is touched, for activations of another batch or targets outside of the
  ///   vocabulary; what attentions throw, and then ``gradients`` hold part of this chunk's.
  public func backward(
    _ batch: [TrainingChunk<some TrainingAttention>], _ saved: borrowing SavedActivations, scale: Double
  ) throws -> Double {
    try check(batch)
    let tokens = batch.flatMap(\.tokens)
    guard saved.configuration == configuration, saved.isComplete, saved.tokens == tokens,
      saved.chunks == batch.map(\.positions)
    else {
      throw ModelError(
        .invalidArgument, "the saved activations are not those of a forward pass of this batch")
    }
    if backwardScratch.rows != tokens.count {
      backwardScratch = BackwardScratch(configuration, rows: tokens.count)
    }
    let loss = try headBackward(batch.flatMap(\.targets), saved, backwardScratch, scale: scale)
    for index in layers.indices.reversed() {
      let activations = saved.layer(index)
      try multilayerPerceptronBackward(layers[index], activations, backwardScratch, rows: tokens.count)
      try attendBackward(index, batch, activations, backwardScratch, rows: tokens.count)
      try projectBackward(layers[index], saved.hidden(index), activations, backwardScratch, saved.table)
    }
    embedding.backward(tokens, dOutput: backwardScratch.dHidden.readable(backwardScratch.dHidden.count))
    return loss
  }

  /// Head and final norm: the first content of `scratch.dHidden`, zero for rows without a target.
  private func headBackward(
    _ targets: [UInt32?], _ saved: borrowing SavedActivations, _ scratch: borrowing BackwardScratch,
    scale: Double
  ) throws(ModelError) -> Double {
    let dHidden = scratch.zeroed(scratch.dHidden)
    guard targets.contains(where: { $0 != nil }) else { return 0 }
    let hidden = UnsafeBufferPointer(saved.hidden(configuration.layers))
    let normed = scratch.normed.writable(hidden.count)
    let dNormed = scratch.zeroed(scratch.dNormed)
    finalNorm.forward(hidden, rows: saved.rows, into: normed)
    let loss = try head.backward(UnsafeBufferPointer(normed), targets: targets, scale: scale, dInput: dNormed)
    finalNorm.backward(
      hidden, dOutput: UnsafeBufferPointer(dNormed), rows: saved.rows, dInput: dHidden)
    return loss
  }

  /// The gated MLP and its norm. The residual's own share stays in `scratch.dHidden`, the branch's is added to it.
  private func multilayerPerceptronBackward(
    _ layer: TrainableLayer, _ saved: LayerActivations, _ scratch: borrowing BackwardScratch, rows: Int
  ) throws(ModelError) {
    let middle = UnsafeBufferPointer(saved.middle)
    let (gate, up) = (UnsafeBufferPointer(saved.gate), UnsafeBufferPointer(saved.up))
    let dHidden = scratch.dHidden.writable(middle.count)
    let activated = scratch.activated.writable(gate.count)
    SwiGLU.forward(gate: gate, up: up, into: activated)
    let dActivated = scratch.dActivated.writable(gate.count)
    try layer.down.backward(
      UnsafeBufferPointer(activated), dOutput: UnsafeBufferPointer(dHidden), rows: rows, dInput: dActivated,
      adds: false)

    let dGate = scratch.dGate.writable(gate.count)
    let dUp = dActivated
    SwiGLU.backward(gate: gate, up: up, dOutput: UnsafeBufferPointer(dActivated), dGate: dGate, dUp: dUp)
    let normed = scratch.normed.writable(middle.count)
    layer.mlpNorm.forward(middle, rows: rows, into: normed)
    let dNormed = scratch.dNormed.writable(middle.count)
    let input = UnsafeBufferPointer(normed)
    try layer.gate.backward(
      input, dOutput: UnsafeBufferPointer(dGate), rows: rows, dInput: dNormed, adds: false)
    try layer.up.backward(input, dOutput: UnsafeBufferPointer(dUp), rows: rows, dInput: dNormed)
    layer.mlpNorm.backward(middle, dOutput: UnsafeBufferPointer(dNormed), rows: rows, dInput: dHidden)
  }

  /// The output projection and each chunk's attention, into `scratch.dQueries`, `dKeys` and `dValues`.
  private func attendBackward(
    _ index: Int, _ batch: [TrainingChunk<some TrainingAttention>], _ saved: LayerActivations,
    _ scratch: borrowing BackwardScratch, rows: Int
  ) throws {
    let dAttended = scratch.dAttended.writable(scratch.dAttended.count)
    try layers[index].output.backward(
      UnsafeBufferPointer(saved.attended), dOutput: scratch.dHidden.readable(scratch.dHidden.count),
      rows: rows, dInput: dAttended, adds: false)
    for (chunk, rows) in zip(batch, rowRanges(batch)) {
      try chunk.attention.stepBackward(
        layer: index, from: chunk.startPosition,
        queries: UnsafeBufferPointer(saved.queries.rows(rows, of: queryWidth)),
        out: UnsafeBufferPointer(saved.attended.rows(rows, of: queryWidth)),
        logSumExp: UnsafeBufferPointer(saved.logSumExp.rows(rows, of: configuration.queryHeads)),
        dOut: UnsafeBufferPointer(dAttended.rows(rows, of: queryWidth)), tokens: rows.count,
        dQueries: scratch.dQueries.writable(rows.scaled(by: queryWidth)),
        dKeys: scratch.dKeys.writable(rows.scaled(by: keyWidth)),
        dValues: scratch.dValues.writable(rows.scaled(by: keyWidth)))
    }
  }

  /// RoPE, norms of heads, projections and norm, in this order. The residual's own share stays in `scratch.dHidden`.
  private func projectBackward(
    _ layer: TrainableLayer, _ hidden: UnsafeMutableBufferPointer<Float>, _ saved: LayerActivations,
    _ scratch: borrowing BackwardScratch, _ table: RotaryEmbedding.Table
  ) throws(ModelError) {
    let (rows, c) = (table.rows, configuration)
    var dQueries = scratch.dQueries.writable(rows * queryWidth)
    var dKeys = scratch.dKeys.writable(rows * keyWidth)
    rotary.backward(dQueries, heads: c.queryHeads, table: table)
    rotary.backward(dKeys, heads: c.kvHeads, table: table)
    if let queryNorm = layer.queryNorm, let keyNorm = layer.keyNorm {
      let dPlainQueries = scratch.zeroed(scratch.dPlainQueries)
      let dPlainKeys = scratch.zeroed(scratch.dPlainKeys)
      queryNorm.backward(
        UnsafeBufferPointer(saved.plainQueries), dOutput: UnsafeBufferPointer(dQueries),
        rows: rows * c.queryHeads, dInput: dPlainQueries)
      keyNorm.backward(
        UnsafeBufferPointer(saved.plainKeys), dOutput: UnsafeBufferPointer(dKeys), rows: rows * c.kvHeads,
        dInput: dPlainKeys)
      (dQueries, dKeys) = (dPlainQueries, dPlainKeys)
    }
    let normed = scratch.normed.writable(hidden.count)
    layer.attentionNorm.forward(UnsafeBufferPointer(hidden), rows: rows, into: normed)
    let dNormed = scratch.dNormed.writable(hidden.count)
    let input = UnsafeBufferPointer(normed)
    try layer.queries.backward(
      input, dOutput: UnsafeBufferPointer(dQueries), rows: rows, dInput: dNormed, adds: false)
    try layer.keys.backward(input, dOutput: UnsafeBufferPointer(dKeys), rows: rows, dInput: dNormed)
    try layer.values.backward(
      input, dOutput: scratch.dValues.readable(rows * keyWidth), rows: rows, dInput: dNormed)
    layer.attentionNorm.backward(
      UnsafeBufferPointer(hidden), dOutput: UnsafeBufferPointer(dNormed), rows: rows,
      dInput: scratch.dHidden.writable(hidden.count))
  }
}

/// Gradients of activations of a batch of tokens, reused from layer to layer, and activations that are computed once more.
struct BackwardScratch: ~Copyable {
  let rows: Int
  /// `[rows, hiddenSize]`: gradient of the residual stream.
  let dHidden: FloatBuffer
  /// `[rows, hiddenSize]`: a norm's output, and its gradient.
  let normed: FloatBuffer
  let dNormed: FloatBuffer
  /// `[rows, intermediateSize]`: the activation's output, its gradient, which makes room for that of `up`, and that of `gate`.
  let activated: FloatBuffer
  let dActivated: FloatBuffer
  let dGate: FloatBuffer
  /// `[rows, queryHeads, headDim]`.
  let dAttended: FloatBuffer
  let dQueries: FloatBuffer
  /// `[rows, kvHeads, headDim]`.
  let dKeys: FloatBuffer
  let dValues: FloatBuffer
  /// Like `dQueries` and `dKeys`, before the norms of heads; empty in families without them.
  let dPlainQueries: FloatBuffer
  let dPlainKeys: FloatBuffer

  init(_ c: ModelConfiguration, rows: Int) {
    self.rows = rows
    let queryWidth = rows * c.queryHeads * c.headDim
    let keyWidth = rows * c.kvHeads * c.headDim
    dHidden = FloatBuffer(count: rows * c.hiddenSize)
    normed = FloatBuffer(count: rows * c.hiddenSize)
    dNormed = FloatBuffer(count: rows * c.hiddenSize)
    activated = FloatBuffer(count: rows * c.intermediateSize)
    dActivated = FloatBuffer(count: rows * c.intermediateSize)
    dGate = FloatBuffer(count: rows * c.intermediateSize)
    dAttended = FloatBuffer(count: queryWidth)
    dQueries = FloatBuffer(count: queryWidth)
    dKeys = FloatBuffer(count: keyWidth)
    dValues = FloatBuffer(count: keyWidth)
    dPlainQueries = FloatBuffer(count: c.queryKeyNorm ? queryWidth : 0)
    dPlainKeys = FloatBuffer(count: c.queryKeyNorm ? keyWidth : 0)
  }

  /// All of a buffer, set to zero: operators add their gradients.
  func zeroed(_ buffer: borrowing FloatBuffer) -> UnsafeMutableBufferPointer<Float> {
    let elements = buffer.writable(buffer.count)
    elements.setToZero()
    return elements
  }
}
