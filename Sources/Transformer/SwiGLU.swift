import Foundation

/// The gated activation of the MLP: `gate · σ(gate) · up`, element by element.
package enum SwiGLU {
  /// - Parameters:
  ///   - gate: any shape; overwritten with the result.
  ///   - up: like `gate`.
  package static func forward(gate: UnsafeMutableBufferPointer<Float>, up: UnsafeBufferPointer<Float>) {
    precondition(gate.count == up.count)
    for index in gate.indices {
      let value = gate[index]
      gate[index] = value / (1 + exp(-value)) * up[index]
    }
  }

  /// With `σ = 1 / (1 + exp(-gate))`: `dGate += dOutput · up · σ · (1 + gate · (1 − σ))` and `dUp += dOutput · gate · σ`.
  ///
  /// - Parameters:
  ///   - gate: as before the forward pass overwrote it.
  ///   - up: like `gate`, as are all others.
  package static func backward(
    gate: UnsafeBufferPointer<Float>, up: UnsafeBufferPointer<Float>, dOutput: UnsafeBufferPointer<Float>,
    dGate: UnsafeMutableBufferPointer<Float>, dUp: UnsafeMutableBufferPointer<Float>
  ) {
    let count = gate.count
    precondition(up.count == count && dOutput.count == count && dGate.count == count && dUp.count == count)
    for index in gate.indices {
      let value = gate[index]
      let sigmoid = 1 / (1 + exp(-value))
      dGate[index] += dOutput[index] * up[index] * sigmoid * (1 + value * (1 - sigmoid))
      dUp[index] += dOutput[index] * value * sigmoid
    }
  }
}
