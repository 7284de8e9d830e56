import Foundation
import Testing
import Transformer

/// The linear layer in training against its formulas in f64, and its bits against themselves.
@Suite struct TrainableLinearTests {
  /// A linear layer on buffers of its own, its gradients beginning at 1.
  private struct LinearCase {
    let layer: TrainableLinear
    let weights: ParameterBuffer
    let gradients: ParameterBuffer

    init(outputs: Int, inputs: Int, bias: Bool, _ compute: Compute, _ noise: inout Noise) throws {
      let layout = ParameterLayout(
        [("weight", [outputs, inputs])] + (bias ? [("bias", [outputs])] : []))
      let values = noise.floats(layout.count)
      weights = ParameterBuffer(layout)
      gradients = ParameterBuffer(layout)
      weights.withElements { _ = $0.update(fromContentsOf: values) }
      gradients.withElements { $0.update(repeating: 1) }
      let split = outputs * inputs
      layer = TrainableLinear(
        try MatmulBackend(compute), weights: weights, gradients: gradients, weight: 0..<split,
        bias: bias ? split..<layout.count : nil, outputs: outputs, inputs: inputs)
    }

    func forward(_ input: [Float], rows: Int) throws -> [Float] {
      var output = [Float](repeating: .nan, count: rows * layer.outputs)
      try input.withUnsafeBufferPointer { input in
        try output.withUnsafeMutableBufferPointer { try layer.forward(input, rows: rows, into: $0) }
      }
      return output
    }

    func backward(_ input: [Float], _ dOutput: [Float], rows: Int, into dInput: inout [Float]) throws {
      try input.withUnsafeBufferPointer { input in
        try dOutput.withUnsafeBufferPointer { dOutput in
          try dInput.withUnsafeMutableBufferPointer {
            try layer.backward(input, dOutput: dOutput, rows: rows, dInput: $0)
          }
        }
      }
    }
  }

  @Test(arguments: [1, 3, 4, 12, 15, 61, 199], [Compute.float32, .bfloat16])
  func gradientsAreTheFormulas(_ rows: Int, _ compute: Compute) throws {
    let (inputs, outputs) = (33, 21)
    var noise = Noise(UInt64(rows))
    let linear = try LinearCase(outputs: outputs, inputs: inputs, bias: true, compute, &noise)
    let weight = try #require(linear.weights["weight"])
    let input = noise.floats(rows * inputs)
    let dOutput = noise.floats(rows * outputs)
    let before = noise.floats(input.count)
    var dInput = before
    try linear.backward(input, dOutput, rows: rows, into: &dInput)
    // The products are linear in each factor: with the factors that they have, sums in f64 are exact where differences are not.
    func factor(_ value: Float) -> Double { Double(compute == .float32 ? value : BFloat16.round(value)) }
    for row in 0..<rows {
      for column in 0..<inputs {
        let sum = (0..<outputs).reduce(Double(before[row * inputs + column])) {
          $0 + factor(dOutput[row * outputs + $1]) * factor(weight[$1 * inputs + column])
        }
        #expect(abs(Double(dInput[row * inputs + column]) - sum) < 1e-5)
      }
    }
    let dWeight = try #require(linear.gradients["weight"])
    let dBias = try #require(linear.gradients["bias"])
    for output in 0..<outputs {
      for column in 0..<inputs {
        let sum = (0..<rows).reduce(1.0) {
          $0 + factor(dOutput[$1 * outputs + output]) * factor(input[$1 * inputs + column])
        }
        #expect(abs(Double(dWeight[output * inputs + column]) - sum) < 3e-5)
      }
      let sum = (0..<rows).reduce(1.0) { $0 + Double(dOutput[$1 * outputs + output]) }
      #expect(abs(Double(dBias[output]) - sum) < 1e-5)
    }
  }

  /// A row's gradient has the same bits wherever it stands, the same call gives the same bits, and new weights are seen.
  @Test(arguments: [Compute.float32, .bfloat16]) func rowsAreTheirOwn(_ compute: Compute) throws {
    let (inputs, outputs, rows) = (40, 24, 61)
    var noise = Noise(9)
    let linear = try LinearCase(outputs: outputs, inputs: inputs, bias: false, compute, &noise)
    let input = noise.floats(rows * inputs)
    let dOutput = noise.floats(rows * outputs)
    func gradients(_ rows: Range<Int>) throws -> (dInput: [Float], dWeight: [Float]?) {
      linear.gradients.setToZero()
      var dInput = Noise.zeros(rows.count * inputs)
      try linear.backward(
        Array(input[rows.lowerBound * inputs..<rows.upperBound * inputs]),
        Array(dOutput[rows.lowerBound * outputs..<rows.upperBound * outputs]), rows: rows.count, into: &dInput
      )
      return (dInput, linear.gradients["weight"])
    }
    let whole = try gradients(0..<rows)
    #expect(try gradients(0..<rows) == whole)
    let parts = try [0..<1, 1..<50, 50..<61].flatMap { try gradients($0).dInput }
    #expect(parts == whole.dInput)

    let output = try linear.forward(input, rows: rows)
    linear.weights.withElements { for index in $0.indices { $0[index] *= -2 } }
    try linear.layer.weightsChanged()
    // Powers of two commute with every rounding.
    #expect(try linear.forward(input, rows: rows) == output.map { $0 * -2 })
    let changed = try gradients(0..<rows)
    #expect(changed.dInput == whole.dInput.map { $0 * -2 })
    #expect(changed.dWeight == whole.dWeight)
  }

  /// The same where there are enough rows for every thread to have tiles of its own, and where gradients are added to.
  @Test(arguments: [(40, 24), (256, 512)], [Compute.float32, .bfloat16])
  func rowsAreTheirOwnAmongMany(_ shape: (inputs: Int, outputs: Int), _ compute: Compute) throws {
    let ((inputs, outputs), rows) = (shape, 1700)
    var noise = Noise(10)
    let linear = try LinearCase(outputs: outputs, inputs: inputs, bias: true, compute, &noise)
    let input = noise.floats(rows * inputs)
    let dOutput = noise.floats(rows * outputs)
    let before = noise.floats(rows * inputs)
    let whole = try linear.forward(input, rows: rows)
    var dWhole = before
    try linear.backward(input, dOutput, rows: rows, into: &dWhole)
    var (parts, dParts) = ([Float](), [Float]())
    for part in [0..<3, 3..<208, 208..<209, 209..<1700] {
      let own = Array(input[part.lowerBound * inputs..<part.upperBound * inputs])
      parts += try linear.forward(own, rows: part.count)
      var dInput = Array(before[part.lowerBound * inputs..<part.upperBound * inputs])
      try linear.backward(
        own, Array(dOutput[part.lowerBound * outputs..<part.upperBound * outputs]), rows: part.count,
        into: &dInput)
      dParts += dInput
    }
    #expect(parts == whole)
    #expect(dParts == dWhole)
  }

  /// Weight gradients of more rows than are summed at a time, against the formula, twice with the same bits.
  @Test(arguments: [Compute.float32, .bfloat16]) func gradientsOfManyRows(_ compute: Compute) throws {
    let (inputs, outputs, rows) = (24, 16, 4500)
    var noise = Noise(11)
    let linear = try LinearCase(outputs: outputs, inputs: inputs, bias: true, compute, &noise)
    let input = noise.floats(rows * inputs)
    let dOutput = noise.floats(rows * outputs)
    func factor(_ value: Float) -> Double { Double(compute == .float32 ? value : BFloat16.round(value)) }
    var dInput = Noise.zeros(input.count)
    try linear.backward(input, dOutput, rows: rows, into: &dInput)
    let dWeight = try #require(linear.gradients["weight"])
    for output in 0..<outputs {
      for column in 0..<inputs {
        var sum = 1.0
        for row in 0..<rows {
          sum += factor(dOutput[row * outputs + output]) * factor(input[row * inputs + column])
        }
        #expect(abs(Double(dWeight[output * inputs + column]) - sum) < 1e-4)
      }
    }
    linear.gradients.withElements { $0.update(repeating: 1) }
    try linear.backward(input, dOutput, rows: rows, into: &dInput)
    #expect(linear.gradients["weight"] == dWeight)
  }

  /// More row counts than are kept compiled, each used again after the others.
  @Test func anyNumberOfRowCounts() throws {
    var noise = Noise(12)
    let linear = try LinearCase(outputs: 8, inputs: 8, bias: false, .float32, &noise)
    let input = noise.floats(20 * 8)
    func gradient(_ rows: Int) throws -> [Float]? {
      linear.gradients.setToZero()
      var dInput = Noise.zeros(rows * 8)
      try linear.backward(Array(input[..<(rows * 8)]), Array(input[..<(rows * 8)]), rows: rows, into: &dInput)
      return linear.gradients["weight"]
    }
    let first = try (1...20).map(gradient)
    #expect(try (1...20).map(gradient) == first)
    #expect(try gradient(0) == Noise.zeros(64))
  }
}
