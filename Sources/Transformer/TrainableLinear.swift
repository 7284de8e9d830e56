/// A linear layer in training, `y = x · Wᵀ + b`, on weights that an optimiser changes.
///
/// Both products with `W` go through ``Linear``'s tiles of fixed heights: the bits of a row, of its output and of its gradient,
/// do not depend on its neighbours. With bf16 compute both factors of every product, gradients included, are rounded to bf16
/// and summed in f32.
package final class TrainableLinear {
  package let inputs: Int
  package let outputs: Int
  private let weights: ParameterBuffer
  private let gradients: ParameterBuffer
  private let weightRange: Range<Int>
  private let biasRange: Range<Int>?
  /// `x · Wᵀ`.
  private let product: Linear
  /// `dOutput · W`.
  private let transposedProduct: Linear
  private let weightGradient: WeightGradient

  /// - Parameters:
  ///   - weight: where weights and gradients have the matrix, `[outputs, inputs]` row-major.
  ///   - bias: where they have the bias, `[outputs]`.
  package init(
    _ backend: MatmulBackend, weights: ParameterBuffer, gradients: ParameterBuffer, weight: Range<Int>,
    bias: Range<Int>?, outputs: Int, inputs: Int
  ) {
    precondition(weight.count == outputs * inputs && bias.map { $0.count == outputs } ?? true)
    precondition(weights.layout == gradients.layout)
    self.weights = weights
    self.gradients = gradients
    self.inputs = inputs
    self.outputs = outputs
    weightRange = weight
    biasRange = bias
    product = Linear(
      backend, LinearWeights(weights, weight, outputs: outputs, inputs: inputs, isTransposed: false))
    transposedProduct = Linear(
      backend, LinearWeights(weights, weight, outputs: inputs, inputs: outputs, isTransposed: true))
    weightGradient = WeightGradient(backend, inputs: inputs, outputs: outputs)
  }

  /// Multiplies each row, with the bits of ``Linear``.
  ///
  /// - Parameters:
  ///   - input: `[rows, inputs]`, row-major.
  ///   - output: `[rows, outputs]`, row-major, overwritten; not the memory of `input`.
  package func forward(
    _ input: UnsafeBufferPointer<Float>, rows: Int, into output: UnsafeMutableBufferPointer<Float>
  ) throws(ModelError) {
    try product.forward(input, rows: rows, into: output)
    guard let biasRange else { return }
    let bias = weights.readable(biasRange)
    output.addToRows(bias)
  }

  /// `dInput += dOutput · W` (or `=`), `dWeight += dOutputᵀ · input`, and `dBias +=` the column sums of `dOutput`, in f64 within the call.
  ///
  /// - Parameters:
  ///   - input: `[rows, inputs]`, row-major, as given to the forward pass.
  ///   - dOutput: `[rows, outputs]`, row-major.
  ///   - dInput: like `input`.
  ///   - adds: whether `dInput` is added to; otherwise it is overwritten.
  package func backward(
    _ input: UnsafeBufferPointer<Float>, dOutput: UnsafeBufferPointer<Float>, rows: Int,
    dInput: UnsafeMutableBufferPointer<Float>, adds: Bool = true
  ) throws(ModelError) {
    try transposedProduct.forward(dOutput, rows: rows, into: dInput, adds: adds)
    try weightGradient.add(input, dOutput: dOutput, rows: rows, into: gradients.writable(weightRange))
    guard let biasRange else { return }
    let dBias = gradients.writable(biasRange)
    var sums = [Double](repeating: 0, count: outputs)
    for start in stride(from: 0, to: dOutput.count, by: outputs) {
      for column in 0..<outputs { sums[column] += Double(dOutput[start + column]) }
    }
    for column in 0..<outputs { dBias[column] += Float(sums[column]) }
  }

  /// To be called when the weights have changed, before the next pass.
  package func weightsChanged() throws(ModelError) {
    try product.weightsChanged()
    try transposedProduct.weightsChanged()
  }
}
