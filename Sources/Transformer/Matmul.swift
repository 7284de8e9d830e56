import COneDNN

/// What a matmul does with its product besides writing it.
private struct MatmulAttributes: ~Copyable {
  let handle: dnnl_primitive_attr_t

  /// - Parameter accumulates: whether the product is added to what the output holds.
  init(accumulates: Bool) throws(ModelError) {
    var operations: dnnl_post_ops_t?
    try OneDNN.check(dnnl_post_ops_create(&operations), "dnnl_post_ops_create")
    defer { dnnl_post_ops_destroy(operations) }
    if accumulates { try OneDNN.check(dnnl_post_ops_append_sum(operations, 1), "dnnl_post_ops_append_sum") }
    var handle: dnnl_primitive_attr_t?
    try OneDNN.check(dnnl_primitive_attr_create(&handle), "dnnl_primitive_attr_create")
    guard let handle else { throw ModelError(.backend, "oneDNN: no attributes") }
    var status = dnnl_primitive_attr_set_post_ops(handle, operations)
    if status == dnnl_success {
      // Several threads may run one matmul: each brings its own memory to work in.
      status = dnnl_primitive_attr_set_scratchpad_mode(handle, dnnl_scratchpad_mode_user)
    }
    guard status == dnnl_success else {
      dnnl_primitive_attr_destroy(handle)
      throw ModelError(.backend, "oneDNN: matmul attributes failed with status \(status.rawValue)")
    }
    self.handle = handle
  }

  deinit { dnnl_primitive_attr_destroy(handle) }
}

/// One compiled matmul, `[rows, inputs] · [inputs, outputs] → [rows, outputs]`, f32 out.
final class Matmul {
  /// oneDNN's name of the kernel, such as `brg:avx512_core_amx_bf16` or `gemm:jit`.
  let implementation: String
  /// The layout that the weights must have.
  let weightsLayout: MatrixLayout
  private let oneDNN: OneDNN
  private let primitive: dnnl_primitive_t
  private let layouts: Seat.Layouts
  /// What a call runs on; calls at the same time take different ones.
  private var seats: [Seat]

  /// Whether oneDNN fell back to its plain reference loops, which are orders of magnitude slower.
  var isReference: Bool { implementation.hasPrefix("ref") }

  /// - Parameters:
  ///   - weights: the layout to use, or `any` for oneDNN's choice.
  ///   - transposedSource: whether the first factor lies as `[inputs, rows]`.
  ///   - sourceApart: elements from one to the next of what the first factor lies in, rows or columns; nil for no gaps.
  ///   - accumulates: whether the product is added to what the output holds.
  /// - Returns: nil when this CPU has no such matmul.
  init?(
    _ oneDNN: OneDNN, rows: Int, inputs: Int, outputs: Int, _ type: FactorType, weights: MatrixLayout,
    transposedSource: Bool = false, sourceApart: Int? = nil, accumulates: Bool = false
  ) throws(ModelError) {
    let sourceLayout = try MatrixLayout.strided(
      rows, inputs, type, transposed: transposedSource, apart: sourceApart)
    let destinationLayout = try MatrixLayout.strided(rows, outputs, .float32)
    var from = sourceLayout.descriptor
    var by = weights.descriptor
    var to = destinationLayout.descriptor
    var operation = dnnl_matmul_desc_t()
    try OneDNN.check(dnnl_matmul_desc_init(&operation, &from, &by, nil, &to), "dnnl_matmul_desc_init")
    var descriptor: dnnl_primitive_desc_t?
    let attributes = try MatmulAttributes(accumulates: accumulates)
    let status = dnnl_primitive_desc_create(
      &descriptor, &operation, attributes.handle, oneDNN.engine, nil)
    if status == dnnl_unimplemented { return nil }
    try OneDNN.check(status, "dnnl_primitive_desc_create")
    defer { dnnl_primitive_desc_destroy(descriptor) }

    guard let chosen = dnnl_primitive_desc_query_md(descriptor, dnnl_query_weights_md, 0) else {
      throw ModelError(.backend, "oneDNN: a matmul without weights")
    }
    var name: UnsafePointer<CChar>?
    try OneDNN.check(
      dnnl_primitive_desc_query(descriptor, dnnl_query_impl_info_str, 0, &name), "dnnl_primitive_desc_query")
    let layouts = Seat.Layouts(
      source: sourceLayout, weights: MatrixLayout(descriptor: chosen.pointee), destination: destinationLayout,
      scratchpad: dnnl_primitive_desc_query_md(descriptor, dnnl_query_scratchpad_md, 0).map {
        MatrixLayout(descriptor: $0.pointee)
      })
    let seat = try Seat(oneDNN, layouts)
    var primitive: dnnl_primitive_t?
    try OneDNN.check(dnnl_primitive_create(&primitive, descriptor), "dnnl_primitive_create")
    guard let primitive else { throw ModelError(.backend, "oneDNN: no matmul") }
    self.oneDNN = oneDNN
    self.primitive = primitive
    weightsLayout = layouts.weights
    implementation = name.map { String(cString: $0) } ?? "unknown"
    self.layouts = layouts
    seats = [seat]
  }

  deinit { dnnl_primitive_destroy(primitive) }

  /// Makes room for calls at the same time.
  func reserve(seats count: Int) throws(ModelError) {
    while seats.count < count { seats.append(try Seat(oneDNN, layouts)) }
  }

  /// Multiplies.
  ///
  /// - Parameters:
  ///   - input: `[rows, inputs]` in the matmul's element type, row-major.
  ///   - weights: in `weightsLayout`.
  ///   - output: `[rows, outputs]`, row-major, overwritten or added to.
  ///   - seat: reserved; no other call's at the time.
  func execute(
    _ input: UnsafeRawPointer, _ weights: PackedMatrix, into output: UnsafeMutablePointer<Float>,
    seat: Int = 0
  ) throws(ModelError) {
    precondition(weights.layout == weightsLayout, "weights packed for another matmul")
    try execute(input, weights.handle, into: output, seats[seat])
  }

  /// ``execute(_:_:into:)`` with weights at an address, where they lie in `weightsLayout`.
  func execute(
    _ input: UnsafeRawPointer, weightsAt address: UnsafeRawPointer, into output: UnsafeMutablePointer<Float>,
    seat: Int = 0
  ) throws(ModelError) {
    let seat = seats[seat]
    try seat.weights.borrow(address)
    try execute(input, seat.weights.handle, into: output, seat)
  }

  private func execute(
    _ input: UnsafeRawPointer, _ weights: dnnl_memory_t, into output: UnsafeMutablePointer<Float>,
    _ seat: Seat
  ) throws(ModelError) {
    try seat.source.borrow(input)
    try seat.destination.borrow(UnsafeRawPointer(output))
    try oneDNN.run(
      primitive,
      [
        dnnl_exec_arg_t(arg: DNNL_ARG_SRC, memory: seat.source.handle),
        dnnl_exec_arg_t(arg: DNNL_ARG_WEIGHTS, memory: weights),
        dnnl_exec_arg_t(arg: DNNL_ARG_DST, memory: seat.destination.handle),
        dnnl_exec_arg_t(arg: DNNL_ARG_SCRATCHPAD, memory: seat.scratchpad.handle),
      ])
  }
}

/// The memory objects of one call at a time of a matmul.
private final class Seat {
  struct Layouts {
    let source: MatrixLayout
    let weights: MatrixLayout
    let destination: MatrixLayout
    /// Of the memory that the matmul works in; nil for none.
    let scratchpad: MatrixLayout?
  }

  let source: MatrixMemory
  let weights: MatrixMemory
  let destination: MatrixMemory
  let scratchpad: MatrixMemory

  init(_ oneDNN: OneDNN, _ layouts: Layouts) throws(ModelError) {
    source = try MatrixMemory(oneDNN, layouts.source, owning: false)
    weights = try MatrixMemory(oneDNN, layouts.weights, owning: false)
    destination = try MatrixMemory(oneDNN, layouts.destination, owning: false)
    scratchpad = try MatrixMemory(
      oneDNN, layouts.scratchpad ?? MatrixLayout(descriptor: dnnl_memory_desc_t()), owning: true)
  }
}
