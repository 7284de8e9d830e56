import Foundation
import Transformer

/// Plain causal attention over everything seen and its transpose, in f64: the oracle for training. It shares no code with the
/// product, and traps every call that breaks the contract's order.
final class DenseTrainingAttention: TrainingAttention {
  enum Failure: Error { case recomputeMismatch, badOrder }

  let queryHeads: Int
  let kvHeads: Int
  let headDim: Int
  private(set) var keys: [[Float]]
  private(set) var values: [[Float]]
  /// Of each layer, what queries have sent to keys and values that have not had their turn.
  private var dKeys: [[Double]]
  private var dValues: [[Double]]
  /// The layer and position that the next backward call has, after the first.
  private var next: (layer: Int, end: Int)?

  init(_ configuration: ModelConfiguration) {
    queryHeads = configuration.queryHeads
    kvHeads = configuration.kvHeads
    headDim = configuration.headDim
    keys = Array(repeating: [], count: configuration.layers)
    values = keys
    dKeys = Array(repeating: [], count: configuration.layers)
    dValues = dKeys
  }

  private var rowWidth: Int { kvHeads * headDim }

  func step(
    layer: Int, queries: UnsafeBufferPointer<Float>, keys: UnsafeBufferPointer<Float>,
    values: UnsafeBufferPointer<Float>, tokens: Int, into out: UnsafeMutableBufferPointer<Float>
  ) throws {
    var logSumExp = [Float](repeating: 0, count: tokens * queryHeads)
    try logSumExp.withUnsafeMutableBufferPointer {
      try step(
        layer: layer, from: self.keys[layer].count / rowWidth, queries: queries, keys: keys, values: values,
        tokens: tokens, into: out, logSumExp: $0)
    }
  }

  func step(
    layer: Int, from: Int, queries: UnsafeBufferPointer<Float>, keys: UnsafeBufferPointer<Float>,
    values: UnsafeBufferPointer<Float>, tokens: Int, into out: UnsafeMutableBufferPointer<Float>,
    logSumExp: UnsafeMutableBufferPointer<Float>
  ) throws {
    let own = from * rowWidth..<(from + tokens) * rowWidth
    if own.lowerBound == self.keys[layer].count {
      self.keys[layer] += keys
      self.values[layer] += values
      dKeys[layer] += [Double](repeating: 0, count: own.count)
      dValues[layer] += [Double](repeating: 0, count: own.count)
    } else {
      guard own.upperBound <= self.keys[layer].count, self.keys[layer][own].elementsEqual(keys),
        self.values[layer][own].elementsEqual(values)
      else { throw Failure.recomputeMismatch }
    }
    for token in 0..<tokens {
      for head in 0..<queryHeads {
        let query = (token * queryHeads + head) * headDim
        let offset = head / (queryHeads / kvHeads) * headDim
        let scores = (0...from + token).map { score(layer, queries, query, row: $0, offset) }
        let peak = scores.max() ?? 0
        let weights = scores.map { exp($0 - peak) }
        let total = weights.reduce(0, +)
        logSumExp[token * queryHeads + head] = Float(peak + log(total))
        for channel in 0..<headDim {
          var sum = 0.0
          for (row, weight) in weights.enumerated() {
            sum += weight * Double(self.values[layer][row * rowWidth + offset + channel])
          }
          out[query + channel] = Float(sum / total)
        }
      }
    }
  }

  private func score(
    _ layer: Int, _ queries: UnsafeBufferPointer<Float>, _ query: Int, row: Int, _ offset: Int
  ) -> Double {
    var sum = 0.0
    for channel in 0..<headDim {
      sum += Double(queries[query + channel]) * Double(keys[layer][row * rowWidth + offset + channel])
    }
    return sum / Double(headDim).squareRoot()
  }

  func stepBackward(
    layer: Int, from: Int, queries: UnsafeBufferPointer<Float>, out: UnsafeBufferPointer<Float>,
    logSumExp: UnsafeBufferPointer<Float>, dOut: UnsafeBufferPointer<Float>, tokens: Int,
    dQueries: UnsafeMutableBufferPointer<Float>, dKeys: UnsafeMutableBufferPointer<Float>,
    dValues: UnsafeMutableBufferPointer<Float>
  ) throws {
    let expected = next ?? (layer: keys.count - 1, end: keys[layer].count / rowWidth)
    guard layer == expected.layer, from + tokens == expected.end else { throw Failure.badOrder }
    next = layer > 0 ? (layer - 1, expected.end) : (keys.count - 1, from)

    let scale = 1 / Double(headDim).squareRoot()
    for token in 0..<tokens {
      for head in 0..<queryHeads {
        let query = (token * queryHeads + head) * headDim
        let offset = head / (queryHeads / kvHeads) * headDim
        let lse = Double(logSumExp[token * queryHeads + head])
        var delta = 0.0
        for channel in 0..<headDim { delta += Double(dOut[query + channel]) * Double(out[query + channel]) }
        var dQuery = [Double](repeating: 0, count: headDim)
        for row in 0...from + token {
          let base = row * rowWidth + offset
          let weight = exp(score(layer, queries, query, row: row, offset) - lse)
          var dWeight = 0.0
          for channel in 0..<headDim {
            dWeight += Double(dOut[query + channel]) * Double(values[layer][base + channel])
            self.dValues[layer][base + channel] += weight * Double(dOut[query + channel])
          }
          let dScore = weight * (dWeight - delta) * scale
          for channel in 0..<headDim {
            dQuery[channel] += dScore * Double(keys[layer][base + channel])
            self.dKeys[layer][base + channel] += dScore * Double(queries[query + channel])
          }
        }
        for channel in 0..<headDim { dQueries[query + channel] = Float(dQuery[channel]) }
      }
    }
    for index in 0..<tokens * rowWidth {
      dKeys[index] = Float(self.dKeys[layer][from * rowWidth + index])
      dValues[index] = Float(self.dValues[layer][from * rowWidth + index])
    }
  }
}
