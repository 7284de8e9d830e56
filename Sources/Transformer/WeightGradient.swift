/// `dWeight += dOutputᵀ · input`, the sum over all rows of the products of a row's output gradients with its inputs: matmuls
/// compiled for the row counts in use.
///
/// The order of the additions belongs to the row count: the same cut gives the same bits.
final class WeightGradient {
  private let backend: MatmulBackend
  private let inputs: Int
  private let outputs: Int
  private var plans: [Int: Matmul] = [:]

  /// Row counts that are kept compiled: texts end anywhere, and each end would leave one behind.
  private static let capacity = 8

  init(_ backend: MatmulBackend, inputs: Int, outputs: Int) {
    self.backend = backend
    self.inputs = inputs
    self.outputs = outputs
  }

  /// - Parameters:
  ///   - input: `[rows, inputs]`, row-major.
  ///   - dOutput: `[rows, outputs]`, row-major.
  ///   - dWeight: `[outputs, inputs]`, row-major, added to.
  func add(
    _ input: UnsafeBufferPointer<Float>, dOutput: UnsafeBufferPointer<Float>, rows: Int,
    into dWeight: UnsafeMutableBufferPointer<Float>
  ) throws(ModelError) {
    precondition(input.count == rows * inputs && dOutput.count == rows * outputs)
    precondition(dWeight.count == inputs * outputs)
    guard rows > 0, let target = dWeight.baseAddress else { return }
    let matmul = try plan(rows)
    try backend.withFactors(dOutput, input) { (left, right) throws(ModelError) in
      try matmul.execute(left, weightsAt: right, into: target)
    }
  }

  /// The sum runs over the rows: `[outputs, rows] · [rows, inputs]`, the first factor read where it lies transposed.
  private func plan(_ rows: Int) throws(ModelError) -> Matmul {
    if let plan = plans[rows] { return plan }
    let type = backend.factorType
    guard
      let matmul = try Matmul(
        backend.oneDNN, rows: outputs, inputs: rows, outputs: inputs, type,
        weights: .strided(rows, inputs, type), transposedSource: true, accumulates: true)
    else {
      throw ModelError(.backend, "oneDNN has no matmul of [\(outputs), \(rows)] by [\(rows), \(inputs)]")
    }
    if plans.count == Self.capacity { plans.removeAll() }
    plans[rows] = matmul
    return matmul
  }
}
