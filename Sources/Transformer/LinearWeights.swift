import Safetensors

/// The matrix of a linear layer, `[outputs, inputs]` row-major, before its matmuls have it in their layout.
package struct LinearWeights {
  package let outputs: Int
  package let inputs: Int
  private let source: Source

  private enum Source {
    case mapped(TensorSlice)
    case floats([Float])
  }

  /// A tensor of a mapped file. Nothing is read yet.
  package init(_ slice: TensorSlice) {
    precondition(slice.shape.count == 2 && slice.dtype.isFloat)
    outputs = slice.shape[0]
    inputs = slice.shape[1]
    source = .mapped(slice)
  }

  package init(_ floats: [Float], outputs: Int, inputs: Int) {
    precondition(floats.count == outputs * inputs)
    self.outputs = outputs
    self.inputs = inputs
    source = .floats(floats)
  }

  /// Brings the matrix into a layout of the backend's matmuls.
  ///
  /// A kernel that takes a plain matrix takes it as files have it just as well, and then a mapped tensor of the arithmetic's
  /// own type is used where it lies: no copy is made, and the system may drop and reread its pages.
  ///
  /// - Parameter preferred: oneDNN's choice for `[inputs, outputs]`.
  func packed(for backend: MatmulBackend, _ preferred: MatrixLayout) throws(ModelError) -> PackedMatrix {
    let asStored = try MatrixLayout.strided(inputs, outputs, backend.factorType, transposed: true)
    let layout = try isPlain(preferred, backend) ? asStored : preferred
    if let slice = mapped(for: backend), let address = slice.bytes.baseAddress {
      return layout == asStored
        ? try PackedMatrix(backend.oneDNN, layout, borrowing: address, of: slice)
        : try PackedMatrix(backend.oneDNN, layout, from: address, asStored)
    }
    let floats = FloatBuffer(count: outputs * inputs)
    let elements = floats.writable(floats.count)
    switch source {
    case .mapped(let slice): slice.copyFloats(into: elements)
    case .floats(let values): _ = elements.update(fromContentsOf: values)
    }
    if backend.compute == .bfloat16 { BFloat16.round(UnsafeBufferPointer(elements), into: elements) }
    guard let address = elements.baseAddress else { throw ModelError(.backend, "an empty matrix") }
    return try PackedMatrix(
      backend.oneDNN, layout, from: UnsafeRawPointer(address),
      .strided(inputs, outputs, .float32, transposed: true))
  }

  /// Whether `packed(for:_:)` will use the file's own pages.
  func isUsedInPlace(by backend: MatmulBackend, _ preferred: MatrixLayout) throws(ModelError) -> Bool {
    guard mapped(for: backend) != nil else { return false }
    return try isPlain(preferred, backend)
  }

  private func isPlain(_ layout: MatrixLayout, _ backend: MatmulBackend) throws(ModelError) -> Bool {
    let plain = try MatrixLayout.strided(inputs, outputs, backend.factorType)
    return layout == plain
  }

  /// The mapped tensor if its elements are what the matmuls take, bit for bit and aligned.
  private func mapped(for backend: MatmulBackend) -> TensorSlice? {
    guard case .mapped(let slice) = source else { return nil }
    let matches =
      switch slice.dtype {
      case .float32: backend.compute == .float32 && backend.factorType == .float32
      case .bfloat16: backend.factorType == .bfloat16
      default: false
      }
    let isAligned = UInt(bitPattern: slice.bytes.baseAddress) % UInt(slice.dtype.byteCount) == 0
    return matches && isAligned ? slice : nil
  }
}
