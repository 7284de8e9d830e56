/// A linear layer, `y = x · Wᵀ + b`: weights brought into their matmuls' layout when first used, a few compiled matmuls.
///
/// Rows are multiplied in tiles of fixed heights, the last one padded, because a matmul's kernel and with it the order of its
/// additions depends on the row count: oneDNN 2.6 on AVX2 changes the last bits of some rows for 1, 8, 20 or 32 rows. With
/// these heights a row's bits were the same wherever it stood and however a text was cut, with 1, 2 and 8 threads; with
/// other thread counts a few shapes still differ in their last bits. A single row costs 1 to 3 times what it would alone.
package final class Linear {
  let inputs: Int
  let outputs: Int
  private let backend: MatmulBackend
  private let weights: LinearWeights
  private let bias: [Float]?
  /// Distinct layouts in use; nearly always one. Empty until the first product.
  private var packed: [PackedMatrix] = []
  private var plans: [Int: (matmul: Matmul, weights: PackedMatrix)] = [:]

  /// Heights of the tiles, largest first. The largest decides the layout of the weights.
  private static let tiles = [192, 48, 12, 4]

  /// - Parameters:
  ///   - weights: `[outputs, inputs]`, rounded to the arithmetic of the backend when they are used.
  ///   - bias: `[outputs]`, f32.
  package init(_ backend: MatmulBackend, _ weights: LinearWeights, bias: [Float]? = nil) {
    precondition(
      weights.inputs > 0 && weights.outputs > 0 && bias.map { $0.count == weights.outputs } ?? true)
    self.backend = backend
    self.weights = weights
    self.bias = bias
    inputs = weights.inputs
    outputs = weights.outputs
  }

  /// Multiplies each row.
  ///
  /// - Parameters:
  ///   - input: `[rows, inputs]`, row-major.
  ///   - output: `[rows, outputs]`, row-major, overwritten; not the memory of `input`.
  package func forward(
    _ input: UnsafeBufferPointer<Float>, rows: Int, into output: UnsafeMutableBufferPointer<Float>
  ) throws(ModelError) {
    precondition(input.count == rows * inputs && output.count == rows * outputs)
    var row = 0
    while row < rows {
      let left = rows - row
      let tile = Self.tiles.first { $0 <= left } ?? Self.tiles[Self.tiles.count - 1]
      let count = min(tile, left)
      let from = UnsafeBufferPointer(rebasing: input[row * inputs..<(row + count) * inputs])
      let to = UnsafeMutableBufferPointer(rebasing: output[row * outputs..<(row + count) * outputs])
      if count == tile {
        try multiply(from, rows: tile, into: to)
      } else {
        try multiplyPadded(from, rows: tile, into: to)
      }
      addBias(to)
      row += count
    }
  }

  /// One whole tile.
  private func multiply(
    _ input: UnsafeBufferPointer<Float>, rows: Int, into output: UnsafeMutableBufferPointer<Float>
  ) throws(ModelError) {
    guard let target = output.baseAddress else { return }
    let (matmul, weights) = try plan(rows)
    try backend.withFactors(input) { (factors) throws(ModelError) in
      try matmul.execute(factors, weights, into: target)
    }
  }

  /// Fewer rows than the tile has: the rest are zero and their products dropped.
  private func multiplyPadded(
    _ input: UnsafeBufferPointer<Float>, rows: Int, into output: UnsafeMutableBufferPointer<Float>
  ) throws(ModelError) {
    let padded = FloatBuffer(count: rows * inputs)
    let product = FloatBuffer(count: rows * outputs)
    _ = padded.writable(input.count).update(from: input)
    try multiply(padded.readable(padded.count), rows: rows, into: product.writable(product.count))
    _ = output.update(from: product.readable(output.count))
  }

  /// Brings packed copies of weights in training up to date.
  func weightsChanged() throws(ModelError) {
    guard let first = packed.first else { return }
    try weights.refresh(first, for: backend)
    for other in packed.dropFirst() { try other.fill(from: first) }
  }

  private func addBias(_ rows: UnsafeMutableBufferPointer<Float>) {
    guard let bias else { return }
    for start in stride(from: 0, to: rows.count, by: outputs) {
      for column in 0..<outputs { rows[start + column] += bias[column] }
    }
  }

  /// The matmul for this row count, on the weights as they lie packed; packed again only when oneDNN has no kernel for the
  /// rows in that layout.
  private func plan(_ rows: Int) throws(ModelError) -> (matmul: Matmul, weights: PackedMatrix) {
    if let plan = plans[rows] { return plan }
    let first = try firstPacking()
    var plan: (matmul: Matmul, weights: PackedMatrix)
    if let fixed = try Matmul(
      backend.oneDNN, rows: rows, inputs: inputs, outputs: outputs, backend.factorType, weights: first.layout),
      !fixed.isReference
    {
      plan = (fixed, first)
    } else {
      let free = try compile(rows, .any(inputs, outputs, backend.factorType))
      if let shared = packed.first(where: { $0.layout == free.weightsLayout }) {
        plan = (free, shared)
      } else {
        let another = try PackedMatrix(backend.oneDNN, free.weightsLayout)
        try another.fill(from: first)
        plan = (free, another)
        packed.append(another)
      }
    }
    plans[rows] = plan
    return plan
  }

  /// The weights in the layout that oneDNN prefers for the largest tile.
  private func firstPacking() throws(ModelError) -> PackedMatrix {
    if let first = packed.first { return first }
    let preferred = try compile(Self.tiles[0], .any(inputs, outputs, backend.factorType)).weightsLayout
    let first = try weights.packed(for: backend, preferred)
    packed.append(first)
    return first
  }

  /// Bytes that the weights take beside the file they come from, once they have been used.
  func copiedBytes() throws(ModelError) -> Int {
    let preferred = try compile(Self.tiles[0], .any(inputs, outputs, backend.factorType)).weightsLayout
    return try weights.isUsedInPlace(by: backend, preferred)
      ? 0 : inputs * outputs * backend.factorType.byteCount
  }

  private func compile(_ rows: Int, _ weights: MatrixLayout) throws(ModelError) -> Matmul {
    guard
      let matmul = try Matmul(
        backend.oneDNN, rows: rows, inputs: inputs, outputs: outputs, backend.factorType, weights: weights)
    else {
      throw ModelError(.backend, "oneDNN has no matmul of [\(rows), \(inputs)] by [\(inputs), \(outputs)]")
    }
    return matmul
  }
}
