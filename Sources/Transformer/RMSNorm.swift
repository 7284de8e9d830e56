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
        let scale =
          1 / (sumOfProducts(input, input, from: base, count: width) / Float(width) + epsilon).squareRoot()
        for column in 0..<width {
          output[base + column] = input[base + column] * scale * weight[column]
        }
      }
    }
  }

  /// With `s = 1 / √(mean(x²) + ε)` and `g = dOutput · weight`: `dInput += s · g − x · s³ · sum(g · x) / width`, and
  /// `dWeight += dOutput · x · s` summed over the rows, in f64 within the call.
  ///
  /// - Parameters:
  ///   - input: `[rows, width]`, row-major, as the forward pass had it.
  ///   - dOutput: like `input`.
  ///   - dInput: like `input`; not the memory of another argument.
  ///   - dWeight: `[width]`.
  package func backward(
    _ input: UnsafeBufferPointer<Float>, dOutput: UnsafeBufferPointer<Float>, rows: Int,
    dInput: UnsafeMutableBufferPointer<Float>, dWeight: UnsafeMutableBufferPointer<Float>
  ) {
    let width = weight.count
    precondition(input.count == rows * width && dOutput.count == rows * width && dInput.count == rows * width)
    precondition(dWeight.count == width)
    var weightSums = [Double](repeating: 0, count: width)
    var weighted = [Float](repeating: 0, count: width)
    weight.withUnsafeBufferPointer { weight in
      weighted.withUnsafeMutableBufferPointer { weighted in
        weightSums.withUnsafeMutableBufferPointer { weightSums in
          for row in 0..<rows {
            let base = row * width
            let squares = sumOfProducts(input, input, from: base, count: width)
            let scale = 1 / (squares / Float(width) + epsilon).squareRoot()
            for column in 0..<width {
              weighted[column] = dOutput[base + column] * weight[column]
              weightSums[column] += Double(dOutput[base + column] * input[base + column] * scale)
            }
            let inner = sumOfProducts(
              UnsafeBufferPointer(weighted), UnsafeBufferPointer(rebasing: input[base..<base + width]),
              from: 0,
              count: width)
            let pull = scale * scale * scale * (inner / Float(width))
            for column in 0..<width {
              dInput[base + column] += scale * weighted[column] - pull * input[base + column]
            }
          }
        }
      }
    }
    for column in 0..<width { dWeight[column] += Float(weightSums[column]) }
  }

  /// Eight running sums, so that the order of additions is the same whatever the compiler makes of the loop.
  private func sumOfProducts(
    _ left: UnsafeBufferPointer<Float>, _ right: UnsafeBufferPointer<Float>, from start: Int, count: Int
  ) -> Float {
    var lanes = SIMD8<Float>.zero
    let whole = count / 8 * 8
    for column in stride(from: 0, to: whole, by: 8) {
      // In bounds: column + 8 ≤ count, and both of the caller's buffers hold count elements from `start`.
      let first = UnsafeRawPointer(left.baseAddress! + start + column).loadUnaligned(as: SIMD8<Float>.self)
      let second = UnsafeRawPointer(right.baseAddress! + start + column).loadUnaligned(as: SIMD8<Float>.self)
      lanes += first * second
    }
    var sum = lanes.sum()
    for column in whole..<count {
      sum += left[start + column] * right[start + column]
    }
    return sum
  }
}
