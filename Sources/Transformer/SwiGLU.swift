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
}
