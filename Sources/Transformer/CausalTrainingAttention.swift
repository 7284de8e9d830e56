import Kernels

/// Full causal attention of one document in this process's memory, for dense training: every token sees itself and all before
/// it. Forward and backward go through the keys in tiles and compute the weights again from the log-sum-exp, so that memory
/// grows with the document and not with its square.
///
/// Keys, values and all sums are f32. With bf16 compute the factors that come in (queries, keys, values and the output's
/// gradient) are rounded to bf16 before. The output does not depend on how the document is cut into chunks, bit for bit;
/// gradients do in their last bits. Results do not depend on the number of threads.
///
/// Memory: `8 · layers · kvHeads · headDim · capacity` bytes, and as much again from the first backward call on.
public final class CausalTrainingAttention: TrainingAttention {
  private let layers: Int
  private let heads: CausalHeads
  private let capacity: Int
  /// Tokens that each layer has seen.
  private var seen: [Int]
  /// `[layers, kvHeads, capacity, headDim]`.
  private let keys: FloatBuffer
  private let values: FloatBuffer
  /// Like `keys`: what chunks have sent to keys and values that have not had their turn, zero elsewhere. Empty before the first
  /// backward call.
  private var dKeys = FloatBuffer(count: 0)
  private var dValues = FloatBuffer(count: 0)
  /// The layer and the end of the next call of a pass backward; nil when none is under way.
  private var next: (layer: Int, end: Int)?
  private var scratch = FloatBuffer(count: 0)

  /// - Parameters:
  ///   - compute: of the products.
  ///   - capacity: tokens of the longest document.
  public init(_ configuration: ModelConfiguration, compute: Compute, capacity: Int) {
    precondition(capacity >= 0)
    layers = configuration.layers
    heads = CausalHeads(configuration, rounds: compute == .bfloat16)
    self.capacity = capacity
    seen = Array(repeating: 0, count: layers)
    keys = FloatBuffer(count: layers * capacity * heads.keyWidth)
    values = FloatBuffer(count: keys.count)
  }

  /// Begins another document.
  public func reset() {
    seen = Array(repeating: 0, count: layers)
    guard next != nil else { return }
    next = nil
    dKeys.writable(dKeys.count).update(repeating: 0)
    dValues.writable(dValues.count).update(repeating: 0)
  }

  public func step(
    layer: Int, queries: UnsafeBufferPointer<Float>, keys: UnsafeBufferPointer<Float>,
    values: UnsafeBufferPointer<Float>, tokens: Int, into out: UnsafeMutableBufferPointer<Float>
  ) throws {
    var sums = [Float](repeating: 0, count: tokens * heads.queryHeads)
    try sums.withUnsafeMutableBufferPointer {
      try step(
        layer: layer, from: seen[layer], queries: queries, keys: keys, values: values, tokens: tokens,
        into: out, logSumExp: $0)
    }
  }

  /// - Throws: `ModelError`: `invalidArgument` for a chunk that does not follow what the layer has seen, or goes beyond the
  ///   capacity; `mismatch` for recomputed keys or values that are not those of the first time.
  public func step(
    layer: Int, from: Int, queries: UnsafeBufferPointer<Float>, keys: UnsafeBufferPointer<Float>,
    values: UnsafeBufferPointer<Float>, tokens: Int, into out: UnsafeMutableBufferPointer<Float>,
    logSumExp: UnsafeMutableBufferPointer<Float>
  ) throws {
    try check(layer, from, tokens)
    precondition(queries.count == tokens * heads.queryWidth && out.count == queries.count)
    precondition(keys.count == tokens * heads.keyWidth && values.count == keys.count)
    precondition(logSumExp.count == tokens * heads.queryHeads)
    for head in 0..<heads.kvHeads {
      let rows = rows(layer, head, from..<from + tokens)
      if from == seen[layer] {
        heads.store(keys, head, into: self.keys.writable(rows))
        heads.store(values, head, into: self.values.writable(rows))
      } else if !heads.are(keys, head, stored: self.keys.readable(rows))
        || !heads.are(values, head, stored: self.values.readable(rows))
      {
        throw ModelError(
          .mismatch,
          "keys or values at \(from)..<\(from + tokens) of layer \(layer) are not those of the first time"
        )
      }
    }
    seen[layer] = max(seen[layer], from + tokens)

    let blocks = heads.blocks(tokens)
    reserve(Team.size * heads.forwardScratch)
    Team.run(blocks.count * heads.kvHeads) { item, participant in
      // The last queries see most and come first.
      let block = blocks[blocks.count - 1 - item / heads.kvHeads]
      let head = item % heads.kvHeads
      let rows = rows(layer, head, 0..<from + block.upperBound)
      let size = heads.forwardScratch
      heads.attend(
        queries, head, block, from: from, keys: self.keys.readable(rows), values: self.values.readable(rows),
        into: out, logSumExp: logSumExp, scratch.writable(participant * size..<(participant + 1) * size))
    }
  }

  /// - Throws: `ModelError`: `invalidArgument` for a chunk that is not the next one of its pass.
  public func stepBackward(
    layer: Int, from: Int, queries: UnsafeBufferPointer<Float>, out: UnsafeBufferPointer<Float>,
    logSumExp: UnsafeBufferPointer<Float>, dOut: UnsafeBufferPointer<Float>, tokens: Int,
    dQueries: UnsafeMutableBufferPointer<Float>, dKeys: UnsafeMutableBufferPointer<Float>,
    dValues: UnsafeMutableBufferPointer<Float>
  ) throws {
    let end = from + tokens
    let expected = next ?? (layer: layers - 1, end: end)
    guard from >= 0, tokens > 0, layer == expected.layer, end == expected.end, end <= seen[layer] else {
      throw ModelError(
        .invalidArgument,
        """
        backward over \(from)..<\(end) of layer \(layer), which has seen \(seen[layer]); \
        the next call is for what ends at \(expected.end), layer \(expected.layer)
        """
      )
    }
    precondition(queries.count == tokens * heads.queryWidth && out.count == queries.count)
    precondition(dOut.count == queries.count && dQueries.count == queries.count)
    precondition(dKeys.count == tokens * heads.keyWidth && dValues.count == dKeys.count)
    precondition(logSumExp.count == tokens * heads.queryHeads)
    if self.dKeys.count == 0 {
      self.dKeys = FloatBuffer(count: keys.count)
      self.dValues = FloatBuffer(count: keys.count)
    }
    next = layer > 0 ? (layer - 1, end) : from > 0 ? (layers - 1, from) : nil

    let slices = heads.slices(end)
    let work = CausalGradientRows(heads, tokens: tokens, slices: slices)
    reserve(work.floats + Team.size * work.kernelScratch)
    let memory = scratch.writable(work.floats)
    let blocks = heads.blocks(tokens)
    Team.run(blocks.count * heads.kvHeads) { item, _ in
      work.pack(
        queries, out, logSumExp, dOut, head: item % heads.kvHeads, blocks[item / heads.kvHeads], memory)
    }
    Team.run(slices.count * heads.kvHeads) { item, participant in
      // The first keys are seen by most queries and come first.
      let slice = item / heads.kvHeads
      let head = item % heads.kvHeads
      let rows = rows(layer, head, slices[slice])
      let start = work.floats + participant * work.kernelScratch
      work.add(
        head: head, slice: slice, from: from, keys: self.keys.readable(rows),
        values: self.values.readable(rows), dKeys: self.dKeys.writable(rows),
        dValues: self.dValues.writable(rows), memory, scratch.writable(start..<start + work.kernelScratch))
    }
    Team.run(blocks.count * heads.kvHeads) { item, _ in
      let (block, head) = (blocks[item / heads.kvHeads], item % heads.kvHeads)
      work.finish(head: head, block, from: from, into: dQueries, memory)
      let rows = rows(layer, head, from + block.lowerBound..<from + block.upperBound)
      heads.take(self.dKeys.writable(rows), head, block, into: dKeys)
      heads.take(self.dValues.writable(rows), head, block, into: dValues)
    }
  }

  private func check(_ layer: Int, _ from: Int, _ tokens: Int) throws(ModelError) {
    let (end, overflow) = from.addingReportingOverflow(tokens)
    guard from >= 0, tokens > 0, !overflow, end <= capacity else {
      throw ModelError(
        .invalidArgument, "\(tokens) tokens at position \(from), where attention has memory for \(capacity)")
    }
    guard from == seen[layer] || end <= seen[layer] else {
      throw ModelError(
        .invalidArgument,
        "\(from)..<\(end) of layer \(layer), which has seen \(seen[layer]): chunks follow each other"
      )
    }
  }

  /// Elements of a head's rows in `keys` and the buffers like it.
  private func rows(_ layer: Int, _ head: Int, _ positions: Range<Int>) -> Range<Int> {
    let first = (layer * heads.kvHeads + head) * capacity
    return (first + positions.lowerBound) * heads.headDim..<(first + positions.upperBound) * heads.headDim
  }

  private func reserve(_ floats: Int) {
    if scratch.count < floats { scratch = FloatBuffer(count: floats) }
  }
}
