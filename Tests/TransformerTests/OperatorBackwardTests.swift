import Foundation
import Testing
import Transformer

/// Each operator's gradients against central finite differences of the same formula in f64, at sizes around the SIMD widths.
///
/// Every test takes the gradient of `Σ output · dOutput` for random `dOutput`, and begins with gradients that are not zero
/// where they are added to.
@Suite struct OperatorBackwardTests {
  /// Checks `given − before` against the differences of `loss` around `input`, element by element.
  private func expectGradient(
    _ given: [Float], before: [Float], of input: [Float], tolerance: Double = 2e-5,
    sourceLocation: SourceLocation = #_sourceLocation, _ loss: ([Double]) -> Double
  ) {
    var point = input.map(Double.init)
    var expected: [Double] = []
    for index in input.indices {
      let (value, step) = (point[index], 1e-5 * max(1, abs(point[index])))
      point[index] = value + step
      let above = loss(point)
      point[index] = value - step
      expected.append((above - loss(point)) / (2 * step))
      point[index] = value
    }
    let size = max(1, expected.map(abs).max() ?? 0)
    for index in input.indices {
      let difference = Double(given[index] - before[index]) - expected[index]
      #expect(abs(difference) <= tolerance * size, "element \(index)", sourceLocation: sourceLocation)
    }
  }

  @Test(arguments: [1, 7, 8, 9, 33]) func rmsNorm(_ width: Int) {
    var noise = Noise(UInt64(width))
    let (rows, epsilon) = (3, Float(1e-5))
    var input = noise.floats(rows * width)
    input[0] = 10
    let weight = noise.floats(width)
    let dOutput = noise.floats(rows * width)
    let before = (input: noise.floats(rows * width), weight: noise.floats(width))
    var (dInput, dWeight) = before
    let norm = RMSNorm(weight: weight, epsilon: epsilon)
    input.withUnsafeBufferPointer { input in
      dOutput.withUnsafeBufferPointer { dOutput in
        dInput.withUnsafeMutableBufferPointer { dInput in
          dWeight.withUnsafeMutableBufferPointer {
            norm.backward(input, dOutput: dOutput, rows: rows, dInput: dInput, dWeight: $0)
          }
        }
      }
    }
    func loss(_ input: [Double], _ weight: [Double]) -> Double {
      (0..<rows).reduce(0) { sum, row in
        let values = input[row * width..<(row + 1) * width]
        let mean = values.reduce(0) { $0 + $1 * $1 } / Double(width)
        let scale = 1 / (mean + Double(epsilon)).squareRoot()
        return zip(0..<width, values).reduce(sum) {
          $0 + $1.1 * scale * weight[$1.0] * Double(dOutput[row * width + $1.0])
        }
      }
    }
    expectGradient(dInput, before: before.input, of: input) { loss($0, weight.map(Double.init)) }
    expectGradient(dWeight, before: before.weight, of: weight) { loss(input.map(Double.init), $0) }
  }

  /// The transpose, in place; a yarn amplitude is a factor both ways.
  @Test(arguments: [1.0, 1.4]) func rotaryEmbedding(_ amplitude: Double) {
    let (headDim, heads, position, theta) = (10, 3, 4099, 1000.0)
    let scaling: RotaryScaling =
      amplitude == 1
      ? .none : .yarn(YarnParameters(factor: 4, originalPositions: 64, attentionFactor: amplitude))
    let parameters = RotaryParameters(theta: theta, scaling: scaling)
    let rotary = RotaryEmbedding(parameters, headDim: headDim)
    var noise = Noise(2)
    let input = noise.floats(2 * heads * headDim)
    let dOutput = noise.floats(input.count)
    var dInput = dOutput
    var table = RotaryEmbedding.Table()
    rotary.append(positions: position..<position + 2, to: &table)
    dInput.withUnsafeMutableBufferPointer { rotary.backward($0, heads: heads, table: table) }

    let frequencies = parameters.frequencies(headDim: headDim)
    expectGradient(dInput, before: Noise.zeros(input.count), of: input) { input in
      var sum = 0.0
      for start in stride(from: 0, to: input.count, by: headDim) {
        for pair in 0..<headDim / 2 {
          let angle = Double(position + start / (heads * headDim)) * frequencies[pair]
          let (x, y) = (input[start + pair], input[start + pair + headDim / 2])
          sum += amplitude * (x * cos(angle) - y * sin(angle)) * Double(dOutput[start + pair])
          sum += amplitude * (y * cos(angle) + x * sin(angle)) * Double(dOutput[start + pair + headDim / 2])
        }
      }
      return sum
    }
    // Backward after forward is not the identity but the amplitude's square.
    var there = input
    there.withUnsafeMutableBufferPointer {
      rotary.forward($0, heads: heads, table: table)
      rotary.backward($0, heads: heads, table: table)
    }
    #expect(largestDifference(there, input.map { $0 * Float(amplitude * amplitude) }) < 1e-6)
  }

  @Test func swiGLU() {
    var noise = Noise(4)
    let gate = noise.floats(37).map { $0 * 8 } + [-60, 60, 0]
    let up = noise.floats(gate.count)
    let dOutput = noise.floats(gate.count)
    // Overwritten, dUp where dOutput stood.
    var (dGate, dUp) = ([Float](repeating: .nan, count: gate.count), dOutput)
    gate.withUnsafeBufferPointer { gate in
      up.withUnsafeBufferPointer { up in
        dGate.withUnsafeMutableBufferPointer { dGate in
          dUp.withUnsafeMutableBufferPointer {
            SwiGLU.backward(gate: gate, up: up, dOutput: UnsafeBufferPointer($0), dGate: dGate, dUp: $0)
          }
        }
      }
    }
    func loss(_ gate: [Double], _ up: [Double]) -> Double {
      gate.indices.reduce(0) { $0 + gate[$1] / (1 + exp(-gate[$1])) * up[$1] * Double(dOutput[$1]) }
    }
    let zeros = Noise.zeros(gate.count)
    expectGradient(dGate, before: zeros, of: gate) { loss($0, up.map(Double.init)) }
    expectGradient(dUp, before: zeros, of: up) { loss(gate.map(Double.init), $0) }
    #expect(dGate.allSatisfy(\.isFinite) && dUp.allSatisfy(\.isFinite))
  }
}
