import Foundation
import Safetensors
import Testing
import Transformer

extension LowRankAdapter {
  /// Makes every parameter something that training could have left: `B` is zero in a fresh adapter.
  func fill(_ seed: UInt64) throws {
    var noise = Noise(seed)
    parameters.withElements { elements in
      for tensor in parameters.layout.tensors {
        let isMatrix = tensor.name.contains("lora_")
        for index in tensor.range { elements[index] += noise.next() * (isMatrix ? 0.3 : 0.05) }
      }
    }
    try apply()
  }

  var copyOfParameters: [String: [Float]] { copy(parameters) }
  var copyOfGradients: [String: [Float]] { copy(gradients) }

  private func copy(_ buffer: ParameterBuffer) -> [String: [Float]] {
    var copy: [String: [Float]] = [:]
    for tensor in buffer.layout.tensors { copy[tensor.name] = buffer[tensor.name] }
    return copy
  }
}

extension TrainableDecoder {
  var copyOfWeights: [String: [Float]] {
    var copy: [String: [Float]] = [:]
    for tensor in weights.layout.tensors { copy[tensor.name] = weights[tensor.name] }
    return copy
  }
}

/// What an adapter's parameters make of a decoder's, in f64 and by the names in its file alone.
struct ReferenceAdapter {
  let scale: Double
  var parameters: [String: [Double]]

  init(_ adapter: LowRankAdapter) {
    let c = adapter.configuration
    scale = c.alpha / (c.isRankStabilized ? Double(c.rank).squareRoot() : Double(c.rank))
    parameters = adapter.copyOfParameters.mapValues { $0.map(Double.init) }
  }

  /// - Parameter base: the decoder's weights without the adapter.
  func applied(to base: [String: [Double]]) -> [String: [Double]] {
    var weights = base
    for (name, values) in parameters {
      let weight = String(name.dropFirst("base_model.model.".count))
      if weight.hasSuffix(".lora_B.weight") { continue }
      guard weight.hasSuffix(".lora_A.weight") else {
        weights[weight] = values
        continue
      }
      let target = weight.replacing("lora_A.", with: "")
      let b = parameters[name.replacing("lora_A", with: "lora_B")] ?? []
      var updated = base[target] ?? []
      let rank = (b.count * values.count / max(updated.count, 1)).squareRoot
      let (outputs, inputs) = (b.count / rank, values.count / rank)
      for row in 0..<outputs {
        for column in 0..<inputs {
          var sum = 0.0
          for k in 0..<rank { sum += b[row * rank + k] * values[k * inputs + column] }
          updated[row * inputs + column] += scale * sum
        }
      }
      weights[target] = updated
    }
    return weights
  }
}

extension Int {
  fileprivate var squareRoot: Int { Int(Double(self).squareRoot().rounded()) }
}
