/// An ``RMSNorm`` in training: its weight in the decoder's buffers.
final class TrainableNorm {
  private let weights: ParameterBuffer
  private let gradients: ParameterBuffer
  private let range: Range<Int>
  private var norm: RMSNorm

  /// - Parameter range: where weights and gradients have the norm's `[width]`.
  init(weights: ParameterBuffer, gradients: ParameterBuffer, range: Range<Int>, epsilon: Float) {
    self.weights = weights
    self.gradients = gradients
    self.range = range
    norm = RMSNorm(weight: Array(weights.readable(range)), epsilon: epsilon)
  }

  /// - Parameters:
  ///   - input: `[rows, width]`, row-major.
  ///   - output: like `input`; may be the same memory.
  func forward(
    _ input: UnsafeBufferPointer<Float>, rows: Int, into output: UnsafeMutableBufferPointer<Float>
  ) {
    norm.forward(input, rows: rows, into: output)
  }

  /// Adds the gradients of the input, to `dInput`, and of the weight.
  ///
  /// - Parameters:
  ///   - input: `[rows, width]`, as given to the forward pass.
  ///   - dOutput: like `input`.
  ///   - dInput: like `input`.
  func backward(
    _ input: UnsafeBufferPointer<Float>, dOutput: UnsafeBufferPointer<Float>, rows: Int,
    dInput: UnsafeMutableBufferPointer<Float>
  ) {
    norm.backward(input, dOutput: dOutput, rows: rows, dInput: dInput, dWeight: gradients.writable(range))
  }

  /// To be called when the weights have changed, before the next pass.
  func weightsChanged() {
    norm = RMSNorm(weight: Array(weights.readable(range)), epsilon: norm.epsilon)
  }
}
