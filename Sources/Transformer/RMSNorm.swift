import Kernels

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
      Team.split(rows: rows, of: width) {
        lagoon_rms_norm(
          input.rows($0, of: width).baseAddress, weight.baseAddress, epsilon, $0.count, width,
          output.rows($0, of: width).baseAddress)
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
    // Blocks by the shape alone, their sums added in order: the same bits with any number of threads.
    let block = max(256, (rows + 63) / 64)
    let blocks = (rows + block - 1) / block
    var sums = [Double](repeating: 0, count: blocks * width)
    sums.withUnsafeMutableBufferPointer { sums in
      weight.withUnsafeBufferPointer { weight in
        Team.run(blocks) { item, _ in
          let part = item * block..<min((item + 1) * block, rows)
          lagoon_rms_norm_backward(
            input.rows(part, of: width).baseAddress, weight.baseAddress,
            dOutput.rows(part, of: width).baseAddress,
            epsilon, part.count, width, dInput.rows(part, of: width).baseAddress,
            UnsafeMutableBufferPointer(rebasing: sums[(item * width)...]).baseAddress)
        }
      }
    }
    for column in 0..<width {
      var sum = 0.0
      for item in 0..<blocks { sum += sums[item * width + column] }
      dWeight[column] += Float(sum)
    }
  }
}
