/// One product on oneDNN as it comes, with its own choice of layout and all threads: the ceiling of what a decoder makes of
/// it. In the type that the backend's matmuls take, on zeros.
package final class PlainProduct {
  private let matmul: Matmul
  private let source: FloatBuffer
  private let weights: PackedMatrix
  private let product: FloatBuffer
  /// Floating-point operations of a run: a multiplication and an addition each.
  package let operations: Double

  /// `[rows, inputs] · [inputs, outputs]`.
  ///
  /// - Parameter isTransposed: whether the first factor lies as `[inputs, rows]`, as in a gradient of weights.
  package init(
    _ backend: MatmulBackend, rows: Int, inputs: Int, outputs: Int, isTransposed: Bool = false
  ) throws(ModelError) {
    let type = backend.factorType
    guard
      let matmul = try Matmul(
        backend.oneDNN, rows: rows, inputs: inputs, outputs: outputs, type,
        weights: .any(inputs, outputs, type), transposedSource: isTransposed)
    else {
      throw ModelError(.backend, "oneDNN has no matmul of [\(rows), \(inputs)] by [\(inputs), \(outputs)]")
    }
    self.matmul = matmul
    operations = 2 * Double(rows) * Double(inputs) * Double(outputs)
    source = FloatBuffer(count: rows * inputs)
    product = FloatBuffer(count: rows * outputs)
    weights = try PackedMatrix(backend.oneDNN, matmul.weightsLayout)
    let zeros = FloatBuffer(count: inputs * outputs)
    guard let address = zeros.readable(zeros.count).baseAddress else { return }
    try weights.fill(from: UnsafeRawPointer(address), .strided(inputs, outputs, .float32))
  }

  package func run() throws(ModelError) {
    guard let input = source.readable(source.count).baseAddress,
      let output = product.writable(product.count).baseAddress
    else { return }
    try matmul.execute(UnsafeRawPointer(input), weights, into: output)
  }
}
