import Foundation
import Kernels

/// The head and the cross-entropy of its logits in one, in tiles of the vocabulary, so that logits of all tokens and the whole
/// vocabulary never stand in memory together: `rowsAtOnce · tile` of them do.
///
/// With logits `z = x · Wᵀ`, a row's loss is `log Σ exp(z) − z[target]`, and the whole is a sum of rows times a factor of the
/// caller's, so that chunks and documents of one optimiser step add up to its mean. The backward pass computes the logits again,
/// tile by tile; those of a vocabulary of one tile are still there.
package final class TiledCrossEntropy {
  package let vocabularySize: Int
  private let width: Int
  /// The rows of the head's matrix that each tile has, and their products.
  private let tiles: [(tokens: Range<Int>, linear: TrainableLinear)]

  /// Tokens whose logits are computed together.
  private static let rowsAtOnce = 1024

  /// - Parameters:
  ///   - matrix: where weights and gradients have the head, `[vocabularySize, width]` row-major.
  ///   - tile: tokens of the vocabulary in a tile, at least 1.
  package init(
    _ backend: MatmulBackend, weights: ParameterBuffer, gradients: ParameterBuffer, matrix: Range<Int>,
    vocabularySize: Int, width: Int, tile: Int
  ) {
    precondition(tile > 0 && matrix.count == vocabularySize * width)
    self.vocabularySize = vocabularySize
    self.width = width
    tiles = stride(from: 0, to: vocabularySize, by: tile).map { first in
      let tokens = first..<min(first + tile, vocabularySize)
      let start = matrix.lowerBound + first * width
      return (
        tokens,
        TrainableLinear(
          backend, weights: weights, gradients: gradients, weight: start..<start + tokens.count * width,
          bias: nil, outputs: tokens.count, inputs: width)
      )
    }
  }

  /// The loss.
  ///
  /// - Parameters:
  ///   - input: `[rows, width]`, f32, row-major: the final norm's output.
  ///   - targets: `[rows]`: the token that each row is to predict; nil where it has none.
  ///   - scale: factor of the sum: 1 over the number of targets of the whole optimiser step.
  /// - Returns: `scale · Σ (log Σ exp(z) − z[target])` over the rows with a target, in nats, summed in f64.
  /// - Throws: `invalidArgument` for a target outside of the vocabulary.
  package func forward(
    _ input: UnsafeBufferPointer<Float>, targets: [UInt32?], scale: Double
  ) throws(ModelError) -> Double {
    var loss = 0.0
    for block in try blocks(input, targets) { loss += try logSumExp(block).loss }
    return loss * scale
  }

  /// The loss, and its gradients: `dZ = scale · (softmax(z) − onehot(target))`, `dInput += dZ · W`, `dW += dZᵀ · input`.
  ///
  /// - Parameters:
  ///   - input: as for the forward pass.
  ///   - targets: as for the forward pass; rows without a target are left out.
  ///   - scale: as for the forward pass.
  ///   - dInput: like `input`, added to.
  /// - Returns: the loss, as the forward pass does.
  package func backward(
    _ input: UnsafeBufferPointer<Float>, targets: [UInt32?], scale: Double,
    dInput: UnsafeMutableBufferPointer<Float>
  ) throws(ModelError) -> Double {
    precondition(dInput.count == input.count)
    var loss = 0.0
    for block in try blocks(input, targets) {
      let sums = try logSumExp(block)
      loss += sums.loss
      let rows = block.rows.count
      let dRows = block.dInput.writable(rows * width)
      for (index, (tokens, linear)) in tiles.enumerated() {
        let logits = block.logits.writable(rows * tokens.count)
        if tiles.count > 1 {
          try linear.forward(block.input.readable(rows * width), rows: rows, into: logits)
        }
        Team.split(rows: rows, of: tokens.count) {
          for row in $0 {
            let own = logits.rows(row..<row + 1, of: tokens.count)
            lagoon_probabilities(own.baseAddress, tokens.count, sums.logSumExp[row], Float(scale))
            let target = block.targets[row]
            if tokens.contains(target) { own[target - tokens.lowerBound] -= Float(scale) }
          }
        }
        try linear.backward(
          block.input.readable(rows * width), dOutput: UnsafeBufferPointer(logits), rows: rows, dInput: dRows,
          adds: index > 0)
      }
      for (from, row) in block.rows.enumerated() {
        let to = dInput.rows(row..<row + 1, of: width).baseAddress
        lagoon_add(to, dRows.rows(from..<from + 1, of: width).baseAddress, to, width)
      }
    }
    return loss * scale
  }

  /// To be called when the weights have changed, before the next pass.
  package func weightsChanged() throws(ModelError) {
    for tile in tiles { try tile.linear.weightsChanged() }
  }

  /// Rows with targets, gathered, and memory for their logits of one tile.
  private final class Block {
    /// Which rows of the whole input they are.
    let rows: ArraySlice<Int>
    let targets: [Int]
    /// `[rows, width]`.
    let input: FloatBuffer
    let dInput: FloatBuffer
    /// `[rows, tile]`.
    let logits: FloatBuffer

    init(
      _ rows: ArraySlice<Int>, _ targets: [Int], _ all: UnsafeBufferPointer<Float>, width: Int, tile: Int
    ) {
      self.rows = rows
      self.targets = targets
      input = FloatBuffer(count: rows.count * width)
      dInput = FloatBuffer(count: rows.count * width)
      logits = FloatBuffer(count: rows.count * tile)
      for (to, row) in rows.enumerated() {
        _ = input.writable(to * width..<(to + 1) * width).update(
          fromContentsOf: all[row * width..<(row + 1) * width])
      }
    }
  }

  /// The rows with a target, cut into blocks that are made one at a time.
  private func blocks(
    _ input: UnsafeBufferPointer<Float>, _ targets: [UInt32?]
  ) throws(ModelError) -> some Sequence<Block> {
    precondition(input.count == targets.count * width)
    if let target = targets.lazy.compactMap(\.self).first(where: { $0 >= self.vocabularySize }) {
      throw ModelError(
        .invalidArgument, "target \(target) is outside of the vocabulary of \(vocabularySize)")
    }
    let rows = targets.indices.filter { targets[$0] != nil }
    let tile = tiles[0].tokens.count
    return stride(from: 0, to: rows.count, by: Self.rowsAtOnce).lazy.map { start in
      let part = rows[start..<min(start + Self.rowsAtOnce, rows.count)]
      return Block(part, part.compactMap { targets[$0].map(Int.init) }, input, width: self.width, tile: tile)
    }
  }

  /// Log-sum-exp of each row of a block, and the sum of the rows' losses.
  private func logSumExp(_ block: Block) throws(ModelError) -> (logSumExp: [Double], loss: Double) {
    let rows = block.rows.count
    var peaks = [Float](repeating: -.infinity, count: rows)
    // Σ exp(z − peak) over the tiles so far.
    var totals = [Double](repeating: 0, count: rows)
    var targetLogits = [Float](repeating: 0, count: rows)
    for (tokens, linear) in tiles {
      let logits = block.logits.writable(rows * tokens.count)
      try linear.forward(block.input.readable(rows * width), rows: rows, into: logits)
      peaks.withUnsafeMutableBufferPointer { peaks in
        totals.withUnsafeMutableBufferPointer { totals in
          targetLogits.withUnsafeMutableBufferPointer { targetLogits in
            Team.split(rows: rows, of: tokens.count) {
              for row in $0 {
                let own = logits.rows(row..<row + 1, of: tokens.count)
                var peak = peaks[row]
                let sum = lagoon_exponential_sum(own.baseAddress, own.count, &peak)
                totals[row] = totals[row] * exp(Double(peaks[row]) - Double(peak)) + sum
                peaks[row] = peak
                let target = block.targets[row]
                if tokens.contains(target) { targetLogits[row] = own[target - tokens.lowerBound] }
              }
            }
          }
        }
      }
    }
    var loss = 0.0
    let logSumExp = (0..<rows).map { Double(peaks[$0]) + log(totals[$0]) }
    for row in 0..<rows { loss += logSumExp[row] - Double(targetLogits[row]) }
    return (logSumExp, loss)
  }
}
