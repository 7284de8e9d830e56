import Foundation
import Transformer

/// Plain causal attention over everything seen, in f64: the oracle for the forward pass. It shares no code with the product.
final class DenseAttention: StepAttention {
  let queryHeads: Int
  let kvHeads: Int
  let headDim: Int
  private(set) var keys: [[Float]]
  private(set) var values: [[Float]]

  init(_ configuration: ModelConfiguration) {
    queryHeads = configuration.queryHeads
    kvHeads = configuration.kvHeads
    headDim = configuration.headDim
    keys = Array(repeating: [], count: configuration.layers)
    values = keys
  }

  func step(
    layer: Int, queries: UnsafeBufferPointer<Float>, keys: UnsafeBufferPointer<Float>,
    values: UnsafeBufferPointer<Float>, tokens: Int, into out: UnsafeMutableBufferPointer<Float>
  ) throws {
    let rowWidth = kvHeads * headDim
    let before = self.keys[layer].count / rowWidth
    self.keys[layer] += keys
    self.values[layer] += values
    let group = queryHeads / kvHeads
    self.keys[layer].withUnsafeBufferPointer { allKeys in
      self.values[layer].withUnsafeBufferPointer { allValues in
        for token in 0..<tokens {
          for head in 0..<queryHeads {
            let query = (token * queryHeads + head) * headDim
            let offset = head / group * headDim
            var scores: [Double] = []
            for row in 0...(before + token) {
              var sum = 0.0
              for channel in 0..<headDim {
                sum += Double(queries[query + channel]) * Double(allKeys[row * rowWidth + offset + channel])
              }
              scores.append(sum / Double(headDim).squareRoot())
            }
            let peak = scores.max() ?? 0
            let weights = scores.map { exp($0 - peak) }
            let total = weights.reduce(0, +)
            for channel in 0..<headDim {
              var sum = 0.0
              for (row, weight) in weights.enumerated() {
                sum += weight * Double(allValues[row * rowWidth + offset + channel])
              }
              out[query + channel] = Float(sum / total)
            }
          }
        }
      }
    }
  }
}
