import Foundation

/// What a decoder begins its training with.
public enum InitialWeights: Sendable, Hashable {
  /// The folder's.
  case saved
  /// Random ones; the folder's are not read and need not be there.
  case random(seed: UInt64)
}

extension ParameterBuffer {
  /// Draws weights for a decoder that is trained from scratch: norms are 1, biases 0, embedding and head normal with deviation
  /// 0.02, other matrices normal with deviation `1/√inputs`; those that write into the residual stream are smaller by
  /// `√(2·layers)`, so that its variance does not grow with depth (GPT-2, Radford et al. 2019, section 2.3).
  ///
  /// The same on every machine for the same seed, up to the last bits of the C library's logarithm and cosine.
  func draw(_ configuration: ModelConfiguration, seed: UInt64) {
    var random = SplitMix64(seed: seed)
    let residual = 1 / Double(2 * configuration.layers).squareRoot()
    for tensor in layout.tensors {
      let elements = writable(tensor.range)
      if tensor.shape.count == 1 {
        elements.update(repeating: tensor.name.hasSuffix(".bias") ? 0 : 1)
        continue
      }
      var deviation = 1 / Double(tensor.shape[1]).squareRoot()
      if tensor.name == DecoderTensors.embedding || tensor.name == DecoderTensors.head { deviation = 0.02 }
      if tensor.name.hasSuffix("o_proj.weight") || tensor.name.hasSuffix("down_proj.weight") {
        deviation *= residual
      }
      for index in elements.indices { elements[index] = Float(deviation * random.normal()) }
    }
  }
}

extension SplitMix64 {
  /// Normal with mean 0 and deviation 1 (Box & Muller 1958); the second of each pair is not used.
  fileprivate mutating func normal() -> Double {
    let radius = (-2 * log(1 - unit())).squareRoot()
    return radius * cos(2 * .pi * unit())
  }
}
