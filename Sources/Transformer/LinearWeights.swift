import Safetensors

/// The matrix of a linear layer before its matmuls have it in their layout: `[outputs, inputs]` row-major, or, of a layer that
/// multiplies by another one's transpose, `[inputs, outputs]`.
package struct LinearWeights {
  package let outputs: Int
  package let inputs: Int
  private let source: Source
  /// Whether the elements lie as `[inputs, outputs]`.
  private let isTransposed: Bool

  private enum Source {
    case mapped(TensorSlice)
    case floats([Float])
    case parameters(ParameterBuffer, Range<Int>)
  }

  /// A tensor of a mapped file. Nothing is read yet.
  package init(_ slice: TensorSlice) {
    precondition(slice.shape.count == 2 && slice.dtype.isFloat)
    outputs = slice.shape[0]
    inputs = slice.shape[1]
    source = .mapped(slice)
    isTransposed = false
  }

  package init(_ floats: [Float], outputs: Int, inputs: Int) {
    precondition(floats.count == outputs * inputs)
    self.outputs = outputs
    self.inputs = inputs
    source = .floats(floats)
    isTransposed = false
  }

  /// A matrix in training: its elements change, and ``refresh(_:for:)`` brings a packed copy up to date.
  ///
  /// - Parameters:
  ///   - range: of the buffer; `outputs * inputs` elements.
  ///   - isTransposed: whether they lie as `[inputs, outputs]`, which turns a layer's `W` into the `W` of `dInput = dOutput · W`.
  package init(
    _ parameters: ParameterBuffer, _ range: Range<Int>, outputs: Int, inputs: Int, isTransposed: Bool
  ) {
    precondition(range.count == outputs * inputs)
    self.outputs = outputs
    self.inputs = inputs
    source = .parameters(parameters, range)
    self.isTransposed = isTransposed
  }

  /// Brings the matrix into a layout of the backend's matmuls.
  ///
  /// A kernel that takes a plain matrix takes it as files have it just as well, and then a mapped tensor of the arithmetic's
  /// own type is used where it lies: no copy is made, and the system may drop and reread its pages.
  ///
  /// - Parameter preferred: oneDNN's choice for `[inputs, outputs]`.
  func packed(for backend: MatmulBackend, _ preferred: MatrixLayout) throws(ModelError) -> PackedMatrix {
    let asStored = try stored(backend.factorType)
    let layout = try isPlain(preferred, backend) ? asStored : preferred
    if layout == asStored, let (address, owner) = inPlace(for: backend) {
      return try PackedMatrix(backend.oneDNN, layout, borrowing: address, of: owner)
    }
    let packed = try PackedMatrix(backend.oneDNN, layout)
    try refresh(packed, for: backend)
    return packed
  }

  /// Fills a packed matrix of any layout with the elements as they are now; one that borrows them has them already.
  func refresh(_ packed: PackedMatrix, for backend: MatmulBackend) throws(ModelError) {
    if packed.isBorrowed { return }
    if let (address, _) = inPlace(for: backend) {
      return try packed.fill(from: address, stored(backend.factorType))
    }
    let floats = FloatBuffer(count: outputs * inputs)
    let elements = floats.writable(floats.count)
    switch source {
    case .mapped(let slice): slice.copyFloats(into: elements)
    case .floats(let values): _ = elements.update(fromContentsOf: values)
    case .parameters(let buffer, let range): _ = elements.update(fromContentsOf: buffer.readable(range))
    }
    if backend.compute == .bfloat16 { BFloat16.round(UnsafeBufferPointer(elements), into: elements) }
    guard let address = elements.baseAddress else { throw ModelError(.backend, "an empty matrix") }
    try packed.fill(from: UnsafeRawPointer(address), stored(.float32))
  }

  /// The layout of the elements as they lie, for a matmul of `[inputs, outputs]`.
  private func stored(_ type: FactorType) throws(ModelError) -> MatrixLayout {
    try .strided(inputs, outputs, type, transposed: !isTransposed)
  }

  /// Whether `packed(for:_:)` will use the file's own pages.
  func isUsedInPlace(by backend: MatmulBackend, _ preferred: MatrixLayout) throws(ModelError) -> Bool {
    guard inPlace(for: backend) != nil else { return false }
    return try isPlain(preferred, backend)
  }

  private func isPlain(_ layout: MatrixLayout, _ backend: MatmulBackend) throws(ModelError) -> Bool {
    let plain = try MatrixLayout.strided(inputs, outputs, backend.factorType)
    return layout == plain
  }

  /// The elements where they lie, and what keeps them there, if they are what the matmuls take, bit for bit and aligned.
  private func inPlace(for backend: MatmulBackend) -> (address: UnsafeRawPointer, owner: Any)? {
    let takesFloats = backend.compute == .float32 && backend.factorType == .float32
    switch source {
    case .floats: return nil
    case .parameters(let buffer, let range):
      guard takesFloats, let address = buffer.readable(range).baseAddress else { return nil }
      return (UnsafeRawPointer(address), buffer)
    case .mapped(let slice):
      let matches =
        switch slice.dtype {
        case .float32: takesFloats
        case .bfloat16: backend.factorType == .bfloat16
        default: false
        }
      guard let address = slice.bytes.baseAddress, matches,
        UInt(bitPattern: address) % UInt(slice.dtype.byteCount) == 0
      else { return nil }
      return (address, slice)
    }
  }
}
