import Foundation
import Testing
import Transformer

/// Each operator against the same formula in f64, at sizes around the SIMD widths.
@Suite struct OperatorTests {
  @Test(arguments: [1, 7, 8, 9, 64, 257]) func rmsNorm(_ width: Int) {
    var noise = Noise(UInt64(width))
    let rows = 3
    var input = noise.floats(rows * width)
    input[0] = 100
    let norm = RMSNorm(weight: noise.floats(width), epsilon: 1e-5)
    var output = [Float](repeating: .nan, count: rows * width)
    input.withUnsafeBufferPointer { input in
      output.withUnsafeMutableBufferPointer { norm.forward(input, rows: rows, into: $0) }
    }
    for row in 0..<rows {
      let values = input[row * width..<(row + 1) * width].map(Double.init)
      let scale = 1 / (values.map { $0 * $0 }.reduce(0, +) / Double(width) + 1e-5).squareRoot()
      for column in 0..<width {
        let expected = values[column] * scale * Double(norm.weight[column])
        #expect(abs(Double(output[row * width + column]) - expected) <= 1e-6 * max(1, abs(expected)))
      }
    }
  }

  /// Long positions too: angles are f64, so the error stays that of rounding the result.
  @Test(arguments: [0, 1, 4095, 262_143, 1_000_003]) func rotaryEmbedding(_ position: Int) {
    let (headDim, heads, theta) = (32, 3, 100_000.0)
    let rotary = RotaryEmbedding(RotaryParameters(theta: theta), headDim: headDim)
    var noise = Noise(UInt64(position))
    let input = noise.floats(2 * heads * headDim)
    var output = input
    var table = RotaryEmbedding.Table()
    rotary.append(positions: position..<position + 1, to: &table)
    rotary.append(positions: position + 1..<position + 2, to: &table)
    output.withUnsafeMutableBufferPointer { rotary.forward($0, heads: heads, table: table) }
    for row in 0..<2 {
      for head in 0..<heads {
        for pair in 0..<headDim / 2 {
          let first = (row * heads + head) * headDim + pair
          let second = first + headDim / 2
          let angle = Double(position + row) / pow(theta, Double(2 * pair) / Double(headDim))
          let (x, y) = (Double(input[first]), Double(input[second]))
          #expect(abs(Double(output[first]) - (x * cos(angle) - y * sin(angle))) < 3e-7)
          #expect(abs(Double(output[second]) - (y * cos(angle) + x * sin(angle))) < 3e-7)
        }
      }
    }
  }

  @Test func swiGLU() {
    var noise = Noise(3)
    let gate = noise.floats(301).map { $0 * 20 } + [-200, 200, 0]
    let up = noise.floats(304)
    var output = gate
    output.withUnsafeMutableBufferPointer { output in
      up.withUnsafeBufferPointer {
        SwiGLU.forward(gate: UnsafeBufferPointer(output), up: $0, into: output)
      }
    }
    for index in gate.indices {
      let (x, y) = (Double(gate[index]), Double(up[index]))
      let expected = x / (1 + exp(-x)) * y
      #expect(abs(Double(output[index]) - expected) <= 1e-6 * max(1, abs(expected)))
    }
  }

  @Test(arguments: [1, 2, 4, 5, 12, 15, 48, 131, 199], [Compute.float32, .bfloat16])
  func linear(_ rows: Int, _ compute: Compute) throws {
    let (inputs, outputs) = (72, 50)
    var noise = Noise(11)
    let given = noise.floats(inputs * outputs)
    let bias = rows % 2 == 0 ? noise.floats(outputs) : nil
    let input = noise.floats(rows * inputs)
    var output = [Float](repeating: .nan, count: rows * outputs)
    let backend = try MatmulBackend(compute)
    let layer = Linear(backend, LinearWeights(given, outputs: outputs, inputs: inputs), bias: bias)
    for _ in 0..<2 {
      try input.withUnsafeBufferPointer { input in
        try output.withUnsafeMutableBufferPointer { try layer.forward(input, rows: rows, into: $0) }
      }
    }
    func factor(_ value: Float) -> Double { Double(compute == .float32 ? value : BFloat16.round(value)) }
    for row in 0..<rows {
      for column in 0..<outputs {
        let sum = (0..<inputs).reduce(Double(bias?[column] ?? 0)) {
          $0 + factor(input[row * inputs + $1]) * factor(given[column * inputs + $1])
        }
        #expect(abs(Double(output[row * outputs + column]) - sum) < 1e-5)
      }
    }
  }

  @Test func brainFloatRoundsToNearestEven() {
    for (value, expected) in [
      (Float(1), UInt16(0x3F80)), (1 + 0x1p-8, 0x3F80), (1 + 0x3p-8, 0x3F82), ((1 + 0x1p-8).nextUp, 0x3F81),
      (-0.0, 0x8000), (.infinity, 0x7F80), (.greatestFiniteMagnitude, 0x7F80), (.leastNonzeroMagnitude, 0),
    ] {
      #expect(BFloat16.bits(value) == expected)
    }
    #expect(BFloat16.round(Float(bitPattern: 0x7F80_0001)).isNaN)
    #expect(BFloat16.round(-.nan).isNaN)
  }
}
