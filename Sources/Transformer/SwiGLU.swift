import Kernels

/// The gated activation of the MLP: `gate · σ(gate) · up`, element by element.
package enum SwiGLU {
  /// - Parameters:
  ///   - gate: any shape.
  ///   - up: like `gate`.
  ///   - output: like `gate`, overwritten; may be its memory.
  package static func forward(
    gate: UnsafeBufferPointer<Float>, up: UnsafeBufferPointer<Float>,
    into output: UnsafeMutableBufferPointer<Float>
  ) {
    precondition(gate.count == up.count && output.count == gate.count)
    Team.split(gate.count) {
      lagoon_swiglu(
        gate.part($0).baseAddress, up.part($0).baseAddress, output.part($0).baseAddress, $0.count)
    }
  }

  /// With `σ = 1 / (1 + exp(-gate))`: `dGate = dOutput · up · σ · (1 + gate · (1 − σ))` and `dUp = dOutput · gate · σ`.
  ///
  /// - Parameters:
  ///   - gate: as in the forward pass.
  ///   - up: like `gate`, as are all others.
  ///   - dGate: overwritten.
  ///   - dUp: overwritten; may be the memory of `dOutput`.
  package static func backward(
    gate: UnsafeBufferPointer<Float>, up: UnsafeBufferPointer<Float>, dOutput: UnsafeBufferPointer<Float>,
    dGate: UnsafeMutableBufferPointer<Float>, dUp: UnsafeMutableBufferPointer<Float>
  ) {
    let count = gate.count
    precondition(up.count == count && dOutput.count == count && dGate.count == count && dUp.count == count)
    Team.split(count) {
      lagoon_swiglu_backward(
        gate.part($0).baseAddress, up.part($0).baseAddress, dOutput.part($0).baseAddress,
        dGate.part($0).baseAddress, dUp.part($0).baseAddress, $0.count)
    }
  }
}
