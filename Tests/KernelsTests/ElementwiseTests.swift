import Foundation
import Kernels
import TestSupport
import Testing

/// Scalar and SIMD against the formulas in f64, and that an element's bits are its own.
@Suite struct ElementwiseTests {
  private static let counts = [1, 3, 7, 8, 9, 15, 16, 17, 31, 40, 67]

  /// Calls `check` with the scalar kernel and with each target's.
  private func onAll<Kernel>(_ scalar: Kernel, _ simd: Kernel, _ check: (Kernel, String) -> Void) {
    check(scalar, "scalar")
    onEveryTarget { check(simd, $0) }
  }

  private func expectNear(
    _ given: [Float], _ expected: [Double], _ tolerance: Double, _ target: String,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    for index in expected.indices {
      let allowed = tolerance * max(1, abs(expected[index]))
      #expect(
        abs(Double(given[index]) - expected[index]) <= allowed, "\(target), element \(index)",
        sourceLocation: sourceLocation)
    }
  }

  /// The SIMD results of elements from `offset` on are those that they have in the whole, on every target.
  private func expectOwnBits(
    _ count: Int, _ run: (_ range: Range<Int>) -> [Float], sourceLocation: SourceLocation = #_sourceLocation
  ) {
    onEveryTarget { target in
      let whole = run(0..<count)
      for offset in [1, 5, count - 1] where offset < count {
        let part = run(offset..<count)
        #expect(
          bits(part) == bits(Array(whole.suffix(part.count))), "\(target), from \(offset)",
          sourceLocation: sourceLocation)
      }
    }
  }

  @Test(arguments: counts) func sumsAndProducts(_ count: Int) {
    var random = SeededGenerator(UInt64(count))
    let (left, right) = (random.floats(count), random.floats(count))
    onAll(lagoon_add_scalar, lagoon_add) { add, target in
      var sums = [Float](repeating: .nan, count: count)
      add(left, right, &sums, count)
      #expect(sums == zip(left, right).map(+), "\(target)")
    }
    onAll(lagoon_scale_scalar, lagoon_scale) { scale, target in
      var products = [Float](repeating: .nan, count: count)
      scale(left, -0.3, &products, count)
      #expect(products == left.map { $0 * -0.3 }, "\(target)")
    }
    let product = zip(left, right).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
    onAll(lagoon_dot_scalar, lagoon_dot) { dot, target in
      #expect(abs(Double(dot(left, right, count)) - product) < 3e-6, "\(target)")
    }
  }

  @Test(arguments: counts) func roundingIsTheConversions(_ count: Int) {
    var random = SeededGenerator(UInt64(count))
    var elements = random.floats(count)
    let special: [Float] = [.infinity, -.nan, 0x1.01p0, .greatestFiniteMagnitude, 0x1.03p0, -0.0]
    for (index, value) in special.prefix(count).enumerated() { elements[count - 1 - index] = value }
    let expected = rounded(elements, to: UInt8(LAGOON_BF16))
    onAll(lagoon_round_bf16_scalar, lagoon_round_bf16) { round, target in
      var given = [Float](repeating: 0, count: count)
      round(elements, &given, count)
      #expect(bits(given) == bits(expected), "\(target)")
    }
  }

  @Test(arguments: counts) func rmsNorm(_ width: Int) {
    let rows = 3
    var random = SeededGenerator(UInt64(width))
    let (input, weight) = (random.floats(rows * width, scale: 3), random.floats(width))
    let (dOutput, before) = (random.floats(rows * width), random.floats(rows * width))
    var output: [Double] = []
    var dInput: [Double] = []
    var dWeight = [Double](repeating: 1, count: width)
    for row in 0..<rows {
      let x = input[row * width..<(row + 1) * width].map(Double.init)
      let dy = dOutput[row * width..<(row + 1) * width].map(Double.init)
      let scale = 1 / (x.reduce(0) { $0 + $1 * $1 } / Double(width) + 1e-5).squareRoot()
      let inner = (0..<width).reduce(0.0) { $0 + dy[$1] * Double(weight[$1]) * x[$1] } / Double(width)
      for column in 0..<width {
        output.append(x[column] * scale * Double(weight[column]))
        let pulled = scale * dy[column] * Double(weight[column]) - pow(scale, 3) * inner * x[column]
        dInput.append(Double(before[row * width + column]) + pulled)
        dWeight[column] += dy[column] * x[column] * scale
      }
    }
    onAll(lagoon_rms_norm_scalar, lagoon_rms_norm) { norm, target in
      var given = [Float](repeating: .nan, count: rows * width)
      norm(input, weight, 1e-5, rows, width, &given)
      expectNear(given, output, 1e-6, target)
    }
    onAll(lagoon_rms_norm_backward_scalar, lagoon_rms_norm_backward) { backward, target in
      var given = before
      var sums = [Double](repeating: 1, count: width)
      backward(input, weight, dOutput, 1e-5, rows, width, &given, &sums)
      expectNear(given, dInput, 5e-6, target)
      for column in 0..<width { #expect(abs(sums[column] - dWeight[column]) < 3e-6, "\(target)") }
    }
    // A row stands alone or among others.
    onEveryTarget { target in
      var together = before
      var sums = [Double](repeating: 0, count: width)
      lagoon_rms_norm_backward(input, weight, dOutput, 1e-5, rows, width, &together, &sums)
      let last = (rows - 1) * width
      var alone = Array(before[last...])
      lagoon_rms_norm_backward(
        Array(input[last...]), weight, Array(dOutput[last...]), 1e-5, 1, width, &alone, &sums)
      #expect(bits(alone) == bits(Array(together[last...])), "\(target)")
    }
  }

  @Test(arguments: counts) func swiGLU(_ count: Int) {
    var random = SeededGenerator(UInt64(count))
    var gate = random.floats(count, scale: 8)
    for (index, value) in [Float(-200), 200, -87.5, 0].prefix(count).enumerated() { gate[index] = value }
    let (up, dOutput) = (random.floats(count), random.floats(count))
    func sigmoid(_ index: Int) -> Double { 1 / (1 + exp(-Double(gate[index]))) }
    let output = (0..<count).map { Double(gate[$0]) * sigmoid($0) * Double(up[$0]) }
    let dUp = (0..<count).map { Double(dOutput[$0]) * Double(gate[$0]) * sigmoid($0) }
    let dGate = (0..<count).map { index in
      let slope = 1 + Double(gate[index]) * (1 - sigmoid(index))
      return Double(dOutput[index]) * Double(up[index]) * sigmoid(index) * slope
    }
    onAll(lagoon_swiglu_scalar, lagoon_swiglu) { swiGLU, target in
      var given = [Float](repeating: .nan, count: count)
      swiGLU(gate, up, &given, count)
      expectNear(given, output, 1e-6, target)
    }
    onAll(lagoon_swiglu_backward_scalar, lagoon_swiglu_backward) { backward, target in
      var given = [Float](repeating: .nan, count: count)
      var givenUp = given
      backward(gate, up, dOutput, &given, &givenUp, count)
      expectNear(given, dGate, 1e-6, target)
      expectNear(givenUp, dUp, 1e-6, target)
    }
    expectOwnBits(count) { range in
      var given = [Float](repeating: 0, count: range.count)
      lagoon_swiglu(Array(gate[range]), Array(up[range]), &given, range.count)
      return given
    }
    expectOwnBits(count) { range in
      var given = [Float](repeating: 0, count: range.count)
      var givenUp = given
      lagoon_swiglu_backward(
        Array(gate[range]), Array(up[range]), Array(dOutput[range]), &given, &givenUp, range.count)
      return given
    }
  }

  @Test(arguments: counts) func rotate(_ pairs: Int) {
    let heads = 3
    var random = SeededGenerator(UInt64(pairs))
    let input = random.floats(heads * 2 * pairs)
    let (cosines, sines) = (random.floats(pairs), random.floats(pairs))
    for sign in [Float(1), -1] {
      var expected = input.map(Double.init)
      for head in 0..<heads {
        for pair in 0..<pairs {
          let (first, second) = (head * 2 * pairs + pair, head * 2 * pairs + pair + pairs)
          let (x, y) = (Double(input[first]), Double(input[second]))
          let (cosine, sine) = (Double(cosines[pair]), Double(sign * sines[pair]))
          expected[first] = x * cosine - y * sine
          expected[second] = y * cosine + x * sine
        }
      }
      onAll(lagoon_rotate_scalar, lagoon_rotate) { rotate, target in
        var given = input
        rotate(&given, heads, pairs, cosines, sines, sign)
        expectNear(given, expected, 5e-7, target)
      }
    }
  }

  @Test(arguments: counts) func softmax(_ count: Int) {
    var random = SeededGenerator(UInt64(count))
    let logits = random.floats(count, scale: 20)
    for start in [-Float.infinity, 1000] {
      let largest = max(start, logits.max() ?? start)
      let sum = logits.reduce(0.0) { $0 + exp(Double($1) - Double(largest)) }
      onAll(lagoon_exponential_sum_scalar, lagoon_exponential_sum) { exponentialSum, target in
        var peak = start
        #expect(abs(exponentialSum(logits, count, &peak) - sum) < 1e-6 * max(sum, 1e-30), "\(target)")
        #expect(peak == largest, "\(target)")
      }
    }
    let logSumExp = log(logits.reduce(0.0) { $0 + exp(Double($1)) })
    let expected = logits.map { 0.25 * exp(Double($0) - logSumExp) }
    onAll(lagoon_probabilities_scalar, lagoon_probabilities) { probabilities, target in
      var given = logits
      probabilities(&given, count, logSumExp, 0.25)
      expectNear(given, expected, 2e-7, target)
    }
    expectOwnBits(count) { range in
      var given = Array(logits[range])
      lagoon_probabilities(&given, range.count, logSumExp, 0.25)
      return given
    }
  }
}
