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
  private var plans: [PlanKey: Plan] = [:]

  private struct PlanKey: Hashable {
    let rows: Int
    let adds: Bool
    /// Compiled for one thread, to run beside others.
    let isAlone: Bool
  }

  private struct Plan {
    let matmul: Matmul
    let weights: PackedMatrix
  }

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
  ///   - output: `[rows, outputs]`, row-major; not the memory of `input`.
  ///   - adds: whether `output` is added to; otherwise it is overwritten.
  package func forward(
    _ input: UnsafeBufferPointer<Float>, rows: Int, into output: UnsafeMutableBufferPointer<Float>,
    adds: Bool = false
  ) throws(ModelError) {
    precondition(input.count == rows * inputs && output.count == rows * outputs)
    let parts = Self.parts(rows)
    // Many tiles: each thread multiplies its own. Few: all threads multiply one.
    let isAlone = Team.size > 1 && rows / Self.tiles[0] >= 2 * Team.size
    for part in parts { try prepare(PlanKey(rows: part.tile, adds: adds, isAlone: isAlone)) }
    try backend.withFactors(input) { (factors) throws(ModelError) in
      func multiply(_ part: Part, _ seat: Int) throws(ModelError) {
        guard let plan = plans[PlanKey(rows: part.tile, adds: adds, isAlone: isAlone)] else { return }
        try self.multiply(
          factors + part.rows.lowerBound * inputs * backend.factorType.byteCount, part, plan, seat,
          into: output.rows(part.rows, of: outputs), adds: adds)
      }
      if isAlone {
        try Team.attempt(parts.count) { (item, participant) throws(ModelError) in
          try multiply(parts[item], participant)
        }
      } else {
        for part in parts { try multiply(part, 0) }
      }
    }
    bias?.withUnsafeBufferPointer { output.addToRows($0) }
  }

  /// Rows that are multiplied together, and the height of the tile that does it: as many, or more where the last is padded.
  private struct Part {
    let rows: Range<Int>
    let tile: Int
  }

  private static func parts(_ rows: Int) -> [Part] {
    var parts: [Part] = []
    var row = 0
    while row < rows {
      let tile = tiles.first { $0 <= rows - row } ?? tiles[tiles.count - 1]
      parts.append(Part(rows: row..<min(row + tile, rows), tile: tile))
      row += tile
    }
    return parts
  }

  /// One tile. Where it has more rows than there are, the rest are zero and their products dropped.
  private func multiply(
    _ factors: UnsafeRawPointer, _ part: Part, _ plan: Plan, _ seat: Int,
    into output: UnsafeMutableBufferPointer<Float>, adds: Bool
  ) throws(ModelError) {
    guard let target = output.baseAddress else { return }
    if part.rows.count == part.tile {
      return try plan.matmul.execute(factors, plan.weights, into: target, seat: seat)
    }
    let padded = FloatBuffer(count: part.tile * inputs)
    let product = FloatBuffer(count: part.tile * outputs)
    let results = product.writable(product.count)
    guard let rows = padded.writable(padded.count).baseAddress, let first = results.baseAddress else {
      return
    }
    // As many bytes as the part has, in memory for at least as many elements of four bytes.
    UnsafeMutableRawPointer(rows).copyMemory(
      from: factors, byteCount: part.rows.count * inputs * backend.factorType.byteCount)
    if adds { _ = results.update(fromContentsOf: output) }
    try plan.matmul.execute(UnsafeRawPointer(rows), plan.weights, into: first, seat: seat)
    _ = output.update(from: product.readable(output.count))
  }

  /// Brings packed copies of weights in training up to date.
  func weightsChanged() throws(ModelError) {
    guard let first = packed.first else { return }
    try weights.refresh(first, for: backend)
    for other in packed.dropFirst() { try other.fill(from: first) }
  }

  /// The matmul for a height, on the weights as they lie packed; packed again only when oneDNN has no kernel for the rows in
  /// that layout.
  private func prepare(_ key: PlanKey) throws(ModelError) {
    if let plan = plans[key] { return try plan.matmul.reserve(seats: key.isAlone ? Team.size : 1) }
    let plan = key.isAlone ? try Team.alone { () throws(ModelError) in try compile(key) } : try compile(key)
    try plan.matmul.reserve(seats: key.isAlone ? Team.size : 1)
    plans[key] = plan
  }

  private func compile(_ key: PlanKey) throws(ModelError) -> Plan {
    let first = try firstPacking()
    if let fixed = try Matmul(
      backend.oneDNN, rows: key.rows, inputs: inputs, outputs: outputs, backend.factorType,
      weights: first.layout, accumulates: key.adds), !fixed.isReference
    {
      return Plan(matmul: fixed, weights: first)
    }
    let free = try compile(key.rows, .any(inputs, outputs, backend.factorType), adds: key.adds)
    if let shared = packed.first(where: { $0.layout == free.weightsLayout }) {
      return Plan(matmul: free, weights: shared)
    }
    let another = try PackedMatrix(backend.oneDNN, free.weightsLayout)
    try another.fill(from: first)
    packed.append(another)
    return Plan(matmul: free, weights: another)
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

  private func compile(
    _ rows: Int, _ weights: MatrixLayout, adds: Bool = false
  ) throws(ModelError) -> Matmul {
    guard
      let matmul = try Matmul(
        backend.oneDNN, rows: rows, inputs: inputs, outputs: outputs, backend.factorType, weights: weights,
        accumulates: adds)
    else {
      throw ModelError(.backend, "oneDNN has no matmul of [\(rows), \(inputs)] by [\(inputs), \(outputs)]")
    }
    return matmul
  }
}
