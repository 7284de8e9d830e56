/// A linear layer without bias, `y = x · Wᵀ`: weights packed once, a few compiled matmuls.
///
/// Rows are multiplied in tiles of fixed heights, the last one padded, because a matmul's kernel and with it the order of its
/// additions depends on the row count: oneDNN 2.6 on AVX2 changes the last bits of some rows for 1, 8, 20 or 32 rows. With
/// these heights a row's bits were the same wherever it stood and however a text was cut, with 1, 2 and 8 threads; with
/// other thread counts a few shapes still differ in their last bits. A single row costs 1 to 3 times what it would alone.
package final class Linear {
  let inputs: Int
  let outputs: Int
  private let backend: MatmulBackend
  /// Distinct layouts in use; nearly always one.
  private var packed: [PackedMatrix]
  private var plans: [Int: (matmul: Matmul, weights: PackedMatrix)] = [:]

  /// Heights of the tiles, largest first. The largest decides the layout of the weights.
  private static let tiles = [192, 48, 12, 4]

  /// - Parameter weights: `[outputs, inputs]`, row-major, f32; rounded in place to the arithmetic of the backend.
  package init(
    _ backend: MatmulBackend, inputs: Int, outputs: Int, weights: UnsafeMutableBufferPointer<Float>
  ) throws(ModelError) {
    precondition(weights.count == inputs * outputs && inputs > 0 && outputs > 0)
    self.backend = backend
    self.inputs = inputs
    self.outputs = outputs
    packed = []
    if backend.compute == .bfloat16 {
      BFloat16.round(UnsafeBufferPointer(weights), into: weights)
    }
    let matmul = try Self.compile(
      backend, rows: Self.tiles[0], inputs, outputs, .any(inputs, outputs, backend.factorType))
    let plain = try MatrixLayout.strided(inputs, outputs, .float32, transposed: true)
    guard let address = weights.baseAddress else { return }
    packed.append(
      try PackedMatrix(backend.oneDNN, matmul.weightsLayout, from: UnsafeRawPointer(address), plain))
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

  /// The matmul for this row count and weights in its layout: shared where the layout is, packed again only when oneDNN has
  /// no kernel for the rows in the layout that exists.
  private func plan(_ rows: Int) throws(ModelError) -> (matmul: Matmul, weights: PackedMatrix) {
    if let plan = plans[rows] { return plan }
    let free = try Self.compile(
      backend, rows: rows, inputs, outputs, .any(inputs, outputs, backend.factorType))
    var plan: (matmul: Matmul, weights: PackedMatrix)
    if let shared = packed.first(where: { $0.layout == free.weightsLayout }) {
      plan = (free, shared)
    } else if let fixed = try Matmul(
      backend.oneDNN, rows: rows, inputs: inputs, outputs: outputs, backend.factorType,
      weights: packed[0].layout),
      !fixed.isReference
    {
      plan = (fixed, packed[0])
    } else {
      plan = (free, try PackedMatrix(backend.oneDNN, free.weightsLayout, from: packed[0]))
      packed.append(plan.weights)
    }
    plans[rows] = plan
    return plan
  }

  private static func compile(
    _ backend: MatmulBackend, rows: Int, _ inputs: Int, _ outputs: Int, _ weights: MatrixLayout
  ) throws(ModelError) -> Matmul {
    guard
      let matmul = try Matmul(
        backend.oneDNN, rows: rows, inputs: inputs, outputs: outputs, backend.factorType, weights: weights)
    else {
      throw ModelError(.backend, "oneDNN has no matmul of [\(rows), \(inputs)] by [\(inputs), \(outputs)]")
    }
    return matmul
  }
}
