import Kernels

/// The arithmetic of the matmuls. Everything between them is f32.
public enum Compute: String, Sendable, CaseIterable {
  case float32 = "f32"
  /// Both factors rounded to bf16, products summed in f32.
  case bfloat16 = "bf16"
}

/// What the linear layers of a model share: the engine, the arithmetic, and memory for converted inputs.
package final class MatmulBackend {
  let oneDNN: OneDNN
  let compute: Compute
  /// The type that matmuls really take: f32 also for bf16 on a CPU without bf16 matmul, with factors rounded to bf16 before.
  let factorType: FactorType
  /// For people: the arithmetic and the kernel that does it.
  let summary: String
  private var converted = FloatBuffer(count: 0)
  private var convertedSecond = FloatBuffer(count: 0)
  private var partialSums = FloatBuffer(count: 0)

  package init(_ compute: Compute) throws(ModelError) {
    let oneDNN = try OneDNN()
    func probe(_ type: FactorType) throws(ModelError) -> Matmul? {
      try Matmul(oneDNN, rows: 64, inputs: 64, outputs: 64, type, weights: .any(64, 64, type))
    }
    self.oneDNN = oneDNN
    self.compute = compute
    if compute == .bfloat16, let native = try probe(.bfloat16), !native.isReference {
      factorType = .bfloat16
      summary = "bf16 (oneDNN \(native.implementation))"
    } else {
      guard let plain = try probe(.float32) else { throw ModelError(.backend, "oneDNN has no f32 matmul") }
      factorType = .float32
      summary =
        compute == .float32
        ? "f32 (oneDNN \(plain.implementation))"
        : "bf16 factors multiplied in f32 (oneDNN \(plain.implementation)): this CPU has no bf16 matmul"
    }
  }

  /// Calls `body` with the input as the matmuls take it: as it is, or converted.
  func withFactors(
    _ input: UnsafeBufferPointer<Float>, _ body: (UnsafeRawPointer) throws(ModelError) -> Void
  ) throws(ModelError) {
    if compute == .float32 {
      guard let address = input.baseAddress else { return }
      return try body(UnsafeRawPointer(address))
    }
    if converted.count < input.count { converted = FloatBuffer(count: input.count) }
    try body(convert(input, into: converted.writable(input.count)))
  }

  /// ``withFactors(_:_:)`` for both factors of a product.
  func withFactors(
    _ first: UnsafeBufferPointer<Float>, _ second: UnsafeBufferPointer<Float>,
    _ body: (UnsafeRawPointer, UnsafeRawPointer) throws(ModelError) -> Void
  ) throws(ModelError) {
    if compute == .bfloat16, convertedSecond.count < second.count {
      convertedSecond = FloatBuffer(count: second.count)
    }
    try withFactors(first) { (left) throws(ModelError) in
      if compute == .float32 {
        guard let address = second.baseAddress else { return }
        return try body(left, UnsafeRawPointer(address))
      }
      try body(left, convert(second, into: convertedSecond.writable(second.count)))
    }
  }

  /// Memory for this many f32 elements, whatever they are, until the next call.
  func scratch(_ count: Int) -> UnsafeMutableBufferPointer<Float> {
    if partialSums.count < count { partialSums = FloatBuffer(count: count) }
    return partialSums.writable(count)
  }

  /// Copies rows as the matmuls take them, with gaps between. Uses no memory of the backend's: threads may call it at a time.
  ///
  /// - Parameters:
  ///   - rows: `[rows, width]`.
  ///   - apart: elements from row to row of the copy, at least `width`.
  ///   - target: f32 elements for as many rows, whatever the matmuls take.
  /// - Returns: the address of `target`.
  func copyFactors(
    _ rows: UnsafeBufferPointer<Float>, of width: Int, rowsApart apart: Int,
    into target: UnsafeMutableBufferPointer<Float>
  ) -> UnsafeRawPointer? {
    precondition(target.count >= rows.count / width * apart)
    guard let base = target.baseAddress else { return nil }
    for row in 0..<rows.count / width {
      let from = rows.rows(row..<row + 1, of: width)
      if factorType == .bfloat16 {
        // In bounds: a row of the copy takes half of what it has in f32.
        let to = UnsafeMutableRawPointer(base) + row * apart * factorType.byteCount
        lagoon_convert(from.baseAddress, UInt8(LAGOON_F32), to, UInt8(LAGOON_BF16), width)
      } else if compute == .bfloat16 {
        lagoon_round_bf16(from.baseAddress, base + row * apart, width)
      } else {
        _ = target.part(row * apart..<row * apart + width).update(fromContentsOf: from)
      }
    }
    return UnsafeRawPointer(base)
  }

  /// Rounds to bf16, in the type that the matmuls take.
  ///
  /// - Returns: the address of `target`.
  private func convert(
    _ input: UnsafeBufferPointer<Float>, into target: UnsafeMutableBufferPointer<Float>
  ) throws(ModelError) -> UnsafeRawPointer {
    guard let address = target.baseAddress else { throw ModelError(.backend, "no memory for factors") }
    if factorType == .float32 {
      BFloat16.round(input, into: target)
    } else {
      // The buffer has four bytes per element, of which bf16 needs two; nobody else sees it meanwhile.
      UnsafeMutableRawBufferPointer(target).withMemoryRebound(to: UInt16.self) { halves in
        BFloat16.convert(input, into: UnsafeMutableBufferPointer(rebasing: halves[..<input.count]))
      }
    }
    return UnsafeRawPointer(address)
  }
}
