import Kernels
import TestSupport
import Testing

@Suite struct OptimiserTests {
  private static let counts = [0, 1, 7, 8, 15, 16, 17, 33, 100]

  /// Scalar and SIMD have the same bits, and the scalar the formula's value.
  @Test(arguments: counts) func adamW(_ count: Int) {
    var random = SeededGenerator(UInt64(count))
    var step = lagoon_adamw_step(
      gradientScale: 0.3, firstDecay: 0.9, firstShare: 0.1, secondDecay: 0.95, secondShare: 0.05,
      weightFactor: 0.999, rate: 0.01, secondFactor: 2.5, epsilon: 1e-8)
    let gradients = random.floats(count)
    let start = (
      weights: random.floats(count), first: random.floats(count), second: random.floats(count).map(abs)
    )
    func run(_ kernel: (UnsafeMutablePointer<lagoon_adamw_step>) -> Void) { kernel(&step) }
    var scalar = start
    run { lagoon_adamw_scalar($0, gradients, &scalar.weights, &scalar.first, &scalar.second, count) }
    for index in 0..<count {
      let gradient = 0.3 * Double(gradients[index])
      let first = 0.9 * Double(start.first[index]) + 0.1 * gradient
      let second = 0.95 * Double(start.second[index]) + 0.05 * gradient * gradient
      let weight = 0.999 * Double(start.weights[index]) - 0.01 * first / (2.5 * second.squareRoot() + 1e-8)
      #expect(abs(Double(scalar.first[index]) - first) < 3e-7)
      #expect(abs(Double(scalar.second[index]) - second) < 3e-7 * max(1, second))
      #expect(abs(Double(scalar.weights[index]) - weight) < 3e-7 * max(1, abs(weight)))
    }
    onEveryTarget { target in
      var given = start
      run { lagoon_adamw($0, gradients, &given.weights, &given.first, &given.second, count) }
      #expect(bits(given.weights) == bits(scalar.weights), "\(target)")
      #expect(bits(given.first) == bits(scalar.first), "\(target)")
      #expect(bits(given.second) == bits(scalar.second), "\(target)")
    }
  }

  @Test(arguments: counts) func squareSum(_ count: Int) {
    var random = SeededGenerator(UInt64(count))
    let elements = random.floats(count, scale: 1e10)
    let scalar = lagoon_square_sum_scalar(elements, count)
    let expected = elements.reduce(0.0) { $0 + Double($1) * Double($1) }
    #expect(abs(scalar - expected) <= 1e-14 * expected)
    onEveryTarget { #expect(lagoon_square_sum(elements, count) == scalar, "\($0)") }
  }
}
