/// The matmuls of low-rank adapters, in f32 whatever the decoder's arithmetic: one is compiled for each shape.
///
/// The order of the additions belongs to the shape: the same matrices give the same bits.
final class LowRankProducts {
  private enum Kind { case update, dA, dB }

  private struct Key: Hashable {
    let kind: Kind
    let outputs: Int
    let inputs: Int
    let rank: Int
  }

  private let oneDNN: OneDNN
  private var plans: [Key: Matmul] = [:]

  init() throws(ModelError) { oneDNN = try OneDNN() }

  /// `W += scale · B · A`.
  ///
  /// - Parameters:
  ///   - weight: `[outputs, inputs]`, row-major, added to.
  ///   - parameters: has `A` and `B` where `matrix` says.
  func update(
    _ weight: UnsafeMutableBufferPointer<Float>, _ matrix: LowRankLayout.Matrix,
    _ parameters: ParameterBuffer, scale: Double
  ) throws(ModelError) {
    precondition(weight.count == matrix.weight.range.count)
    let scaled = FloatBuffer(count: matrix.b.range.count)
    let b = scaled.writable(scaled.count)
    _ = b.update(from: parameters.readable(matrix.b.range))
    multiply(b, by: scale)
    try execute(
      .update, matrix, UnsafeBufferPointer(b), parameters.readable(matrix.a.range), into: weight)
  }

  /// `dB = scale · dW · Aᵀ` and `dA = scale · Bᵀ · dW`.
  ///
  /// - Parameters:
  ///   - dWeight: `[outputs, inputs]`, row-major.
  ///   - gradients: its `A` and `B` are overwritten.
  func gradients(
    _ dWeight: UnsafeBufferPointer<Float>, _ matrix: LowRankLayout.Matrix, _ parameters: ParameterBuffer,
    scale: Double, into gradients: ParameterBuffer
  ) throws(ModelError) {
    precondition(dWeight.count == matrix.weight.range.count)
    let (dA, dB) = (gradients.writable(matrix.a.range), gradients.writable(matrix.b.range))
    try execute(.dB, matrix, dWeight, parameters.readable(matrix.a.range), into: dB)
    try execute(.dA, matrix, parameters.readable(matrix.b.range), dWeight, into: dA)
    multiply(dA, by: scale)
    multiply(dB, by: scale)
  }

  private func multiply(_ elements: UnsafeMutableBufferPointer<Float>, by scale: Double) {
    for index in elements.indices { elements[index] = Float(Double(elements[index]) * scale) }
  }

  private func execute(
    _ kind: Kind, _ matrix: LowRankLayout.Matrix, _ left: UnsafeBufferPointer<Float>,
    _ right: UnsafeBufferPointer<Float>, into output: UnsafeMutableBufferPointer<Float>
  ) throws(ModelError) {
    guard let left = left.baseAddress, let right = right.baseAddress, let output = output.baseAddress else {
      return
    }
    try plan(kind, matrix).execute(
      UnsafeRawPointer(left), weightsAt: UnsafeRawPointer(right), into: output)
  }

  /// Each factor is read where it lies: `A` as `[rank, inputs]`, `B` as `[outputs, rank]`.
  private func plan(_ kind: Kind, _ matrix: LowRankLayout.Matrix) throws(ModelError) -> Matmul {
    let (outputs, inputs, rank) = (matrix.outputs, matrix.inputs, matrix.rank)
    let key = Key(kind: kind, outputs: outputs, inputs: inputs, rank: rank)
    if let plan = plans[key] { return plan }
    let made: Matmul? =
      switch kind {
      case .update:
        try Matmul(
          oneDNN, rows: outputs, inputs: rank, outputs: inputs, .float32,
          weights: .strided(rank, inputs, .float32), accumulates: true)
      case .dB:
        try Matmul(
          oneDNN, rows: outputs, inputs: inputs, outputs: rank, .float32,
          weights: .strided(inputs, rank, .float32, transposed: true))
      case .dA:
        try Matmul(
          oneDNN, rows: rank, inputs: outputs, outputs: inputs, .float32,
          weights: .strided(outputs, inputs, .float32), transposedSource: true)
      }
    guard let made else {
      throw ModelError(.backend, "oneDNN has no matmul for rank \(rank) of [\(outputs), \(inputs)]")
    }
    plans[key] = made
    return made
  }
}
