/// Root-mean-square normalisation in f32: `y = x / √(mean(x²) + ε) · weight`, row by row.
package struct RMSNorm {
  package let weight: [Float]
  package let epsilon: Float

  package init(weight: [Float], epsilon: Float) {
    self.weight = weight
    self.epsilon = epsilon
  }

  /// - Parameters:
  ///   - input: `[rows, width]`, row-major.
  ///   - output: like `input`; may be the same memory.
  package func forward(
    _ input: UnsafeBufferPointer<Float>, rows: Int, into output: UnsafeMutableBufferPointer<Float>
  ) {
    let width = weight.count
    precondition(input.count == rows * width && output.count == rows * width)
    weight.withUnsafeBufferPointer { weight in
      for row in 0..<rows {
        let base = row * width
        let scale = 1 / (sumOfSquares(input, from: base, count: width) / Float(width) + epsilon).squareRoot()
        for column in 0..<width {
          output[base + column] = input[base + column] * scale * weight[column]
        }
      }
    }
  }

  /// Eight running sums, so that the order of additions is the same whatever the compiler makes of the loop.
  private func sumOfSquares(_ input: UnsafeBufferPointer<Float>, from start: Int, count: Int) -> Float {
    var lanes = SIMD8<Float>.zero
    let whole = count / 8 * 8
    for column in stride(from: 0, to: whole, by: 8) {
      // In bounds: column + 8 ≤ count, and the caller's rows hold count elements from `start`.
      let block = UnsafeRawPointer(input.baseAddress! + start + column).loadUnaligned(as: SIMD8<Float>.self)
      lanes += block * block
    }
    var sum = lanes.sum()
    for column in whole..<count {
      sum += input[start + column] * input[start + column]
    }
    return sum
  }
}
