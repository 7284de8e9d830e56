import LanguageModel
import Transformer

/// Attention through a daemon that remembers how long each value vector is, to weigh what a session keeps.
final class MeteredAttention: StepAttention {
  private let attention: DaemonAttention
  private let kvHeads: Int
  /// Squared L2 norms of the values of each layer, `[tokens, kvHeads]`.
  private(set) var squaredNorms: [[Float]]

  init(_ attention: DaemonAttention, _ configuration: ModelConfiguration) {
    self.attention = attention
    kvHeads = configuration.kvHeads
    squaredNorms = [[Float]](repeating: [], count: configuration.layers)
  }

  func step(
    layer: Int, queries: UnsafeBufferPointer<Float>, keys: UnsafeBufferPointer<Float>,
    values: UnsafeBufferPointer<Float>, tokens: Int, into out: UnsafeMutableBufferPointer<Float>
  ) throws {
    try attention.step(
      layer: layer, queries: queries, keys: keys, values: values, tokens: tokens, into: out)
    let width = values.count / (tokens * kvHeads)
    for row in 0..<tokens * kvHeads {
      var sum: Float = 0
      for value in values[row * width..<(row + 1) * width] { sum += value * value }
      squaredNorms[layer].append(sum)
    }
  }
}
