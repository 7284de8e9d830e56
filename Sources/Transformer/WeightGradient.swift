import Kernels

/// `dWeight += dOutputᵀ · input`, the sum over all rows of the products of a row's output gradients with its inputs: matmuls
/// compiled for the row counts in use.
///
/// Many rows are summed in groups side by side, each by one thread and in blocks whose factors are copied first: rows a power
/// of two apart in memory, as layers' widths are, share so few places in the caches that a product runs at two thirds of its
/// rate (oneDNN 2.6, AVX2, widths of 512). The groups' sums are added in order.
///
/// The order of the additions belongs to the row count: the same cut gives the same bits. Groups do so with any number of
/// threads; a product that all threads share may have other last bits with another number.
final class WeightGradient {
  private let backend: MatmulBackend
  private let inputs: Int
  private let outputs: Int
  private var plans: [Int: Matmul] = [:]
  private var blockPlans: [Int: Matmul] = [:]

  /// Row counts that are kept compiled: texts end anywhere, and each end would leave one behind.
  private static let capacity = 8
  /// Rows whose factors are copied together.
  private static let block = 256
  /// The fewest rows of a group.
  private static let group = 512
  /// The most elements of the groups' sums, 16 MB: a larger matrix is a product that all threads share well.
  private static let groupElements = 1 << 22

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
    let groups = min(8, rows / Self.group)
    if groups > 1, groups * dWeight.count <= Self.groupElements {
      return try addGroups(input, dOutput: dOutput, rows: rows, groups: groups, into: dWeight)
    }
    let matmul = try plan(rows)
    try backend.withFactors(dOutput, input) { (left, right) throws(ModelError) in
      try matmul.execute(left, weightsAt: right, into: target)
    }
  }

  private func addGroups(
    _ input: UnsafeBufferPointer<Float>, dOutput: UnsafeBufferPointer<Float>, rows: Int, groups: Int,
    into dWeight: UnsafeMutableBufferPointer<Float>
  ) throws(ModelError) {
    // Whole blocks but at the end of the last group.
    let length = (rows / groups + Self.block - 1) / Self.block * Self.block
    let parts = stride(from: 0, to: rows, by: length).map { $0..<min($0 + length, rows) }
    for part in parts {
      try prepare(Self.block)
      if part.count % Self.block > 0 { try prepare(part.count % Self.block) }
    }
    let (left, right) = (Self.padded(outputs), Self.padded(inputs))
    let (size, memory) = (aligned(dWeight.count), Self.block * (left + right))
    let scratch = backend.scratch(parts.count * size + Team.size * memory)
    let sums = scratch.part(0..<parts.count * size)
    let factors = scratch.part(sums.count..<scratch.count)
    try Team.attempt(parts.count) { (item, participant) throws(ModelError) in
      let own = factors.part(participant * memory..<(participant + 1) * memory)
      let sum = sums.part(item * size..<item * size + dWeight.count)
      sum.update(repeating: 0)
      for start in stride(from: parts[item].lowerBound, to: parts[item].upperBound, by: Self.block) {
        let rows = start..<min(start + Self.block, parts[item].upperBound)
        let first = backend.copyFactors(
          dOutput.rows(rows, of: outputs), of: outputs, rowsApart: left, into: own.part(0..<Self.block * left)
        )
        let second = backend.copyFactors(
          input.rows(rows, of: inputs), of: inputs, rowsApart: right,
          into: own.part(Self.block * left..<memory))
        guard let first, let second, let target = sum.baseAddress, let matmul = blockPlans[rows.count] else {
          return
        }
        try matmul.execute(first, weightsAt: second, into: target, seat: participant)
      }
    }
    Team.split(dWeight.count) {
      let to = dWeight.part($0)
      for item in parts.indices {
        let sum = sums.part(item * size + $0.lowerBound..<item * size + $0.upperBound)
        lagoon_add(to.baseAddress, sum.baseAddress, to.baseAddress, to.count)
      }
    }
  }

  /// Elements from row to row of a copied factor: whole vectors, and never a power of two of them.
  private static func padded(_ width: Int) -> Int { aligned(width) + 16 }

  private func prepare(_ rows: Int) throws(ModelError) {
    if blockPlans[rows] == nil {
      if blockPlans.count == Self.capacity { blockPlans = blockPlans.filter { $0.key == Self.block } }
      blockPlans[rows] = try Team.alone { () throws(ModelError) in
        try compile(rows, rowsApart: (Self.padded(outputs), Self.padded(inputs)))
      }
    }
    try blockPlans[rows]?.reserve(seats: Team.size)
  }

  private func plan(_ rows: Int) throws(ModelError) -> Matmul {
    if let plan = plans[rows] { return plan }
    let matmul = try compile(rows, rowsApart: (outputs, inputs))
    if plans.count == Self.capacity { plans.removeAll() }
    plans[rows] = matmul
    return matmul
  }

  /// The sum runs over the rows: `[outputs, rows] · [rows, inputs]`, the first factor read where it lies transposed.
  private func compile(
    _ rows: Int, rowsApart: (outputs: Int, inputs: Int)
  ) throws(ModelError) -> Matmul {
    let type = backend.factorType
    guard
      let matmul = try Matmul(
        backend.oneDNN, rows: outputs, inputs: rows, outputs: inputs, type,
        weights: .strided(rows, inputs, type, apart: rowsApart.inputs), transposedSource: true,
        sourceApart: rowsApart.outputs, accumulates: true)
    else {
      throw ModelError(.backend, "oneDNN has no matmul of [\(outputs), \(rows)] by [\(rows), \(inputs)]")
    }
    return matmul
  }
}
