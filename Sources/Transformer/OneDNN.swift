import COneDNN

/// Element types of a matmul's factors. The product is always f32.
enum FactorType {
  case float32, bfloat16

  var byteCount: Int { self == .float32 ? 4 : 2 }

  fileprivate var code: dnnl_data_type_t { self == .float32 ? dnnl_f32 : dnnl_bf16 }
}

private func check(_ status: dnnl_status_t, _ what: String) throws(ModelError) {
  guard status == dnnl_success else {
    throw ModelError(.backend, "oneDNN: \(what) failed with status \(status.rawValue)")
  }
}

/// oneDNN's CPU engine with one stream. Everything made from it is used from one thread at a time.
final class OneDNN {
  fileprivate let engine: dnnl_engine_t
  fileprivate let stream: dnnl_stream_t

  init() throws(ModelError) {
    var engine: dnnl_engine_t?
    try check(dnnl_engine_create(&engine, dnnl_cpu, 0), "dnnl_engine_create")
    guard let engine else { throw ModelError(.backend, "oneDNN: no engine") }
    var stream: dnnl_stream_t?
    let status = dnnl_stream_create(&stream, engine, dnnl_stream_default_flags.rawValue)
    guard status == dnnl_success, let stream else {
      dnnl_engine_destroy(engine)
      throw ModelError(.backend, "oneDNN: dnnl_stream_create failed with status \(status.rawValue)")
    }
    self.engine = engine
    self.stream = stream
  }

  deinit {
    dnnl_stream_destroy(stream)
    dnnl_engine_destroy(engine)
  }

  fileprivate func run(_ primitive: dnnl_primitive_t, _ arguments: [dnnl_exec_arg_t]) throws(ModelError) {
    let status = arguments.withUnsafeBufferPointer {
      dnnl_primitive_execute(primitive, stream, Int32($0.count), $0.baseAddress)
    }
    try check(status, "dnnl_primitive_execute")
    try check(dnnl_stream_wait(stream), "dnnl_stream_wait")
  }
}

/// How a matrix lies in memory: extents, element type, and the blocking that oneDNN chose.
struct MatrixLayout: Equatable {
  fileprivate var descriptor: dnnl_memory_desc_t

  /// Row-major, or column-major as the transpose of a row-major matrix.
  ///
  /// - Parameter apart: elements from row to row, or from column to column; nil for no more than there are.
  static func strided(
    _ rows: Int, _ columns: Int, _ type: FactorType, transposed: Bool = false, apart: Int? = nil
  ) throws(ModelError) -> MatrixLayout {
    var layout = MatrixLayout(descriptor: dnnl_memory_desc_t())
    let dimensions = [Int64(rows), Int64(columns)]
    let strides = transposed ? [1, Int64(apart ?? rows)] : [Int64(apart ?? columns), 1]
    try check(
      dnnl_memory_desc_init_by_strides(&layout.descriptor, 2, dimensions, type.code, strides),
      "dnnl_memory_desc_init_by_strides")
    return layout
  }

  /// Whatever oneDNN finds fastest; resolved when a `Matmul` is made.
  static func any(_ rows: Int, _ columns: Int, _ type: FactorType) throws(ModelError) -> MatrixLayout {
    var layout = MatrixLayout(descriptor: dnnl_memory_desc_t())
    try check(
      dnnl_memory_desc_init_by_tag(
        &layout.descriptor, 2, [Int64(rows), Int64(columns)], type.code, dnnl_format_tag_any),
      "dnnl_memory_desc_init_by_tag")
    return layout
  }

  static func == (left: MatrixLayout, right: MatrixLayout) -> Bool {
    withUnsafePointer(to: left.descriptor) { left in
      withUnsafePointer(to: right.descriptor) { right in dnnl_memory_desc_equal(left, right) != 0 }
    }
  }
}

/// A oneDNN memory object: a layout and the address of elements, which it owns or borrows for one call.
private struct MatrixMemory: ~Copyable {
  let handle: dnnl_memory_t

  /// - Parameter owning: allocates the elements, freed with the object; otherwise an address is set before each use.
  init(_ oneDNN: OneDNN, _ layout: MatrixLayout, owning: Bool) throws(ModelError) {
    var layout = layout
    var handle: dnnl_memory_t?
    // DNNL_MEMORY_ALLOCATE, a macro that Swift does not import, is the address of all ones.
    let address = owning ? UnsafeMutableRawPointer(bitPattern: UInt.max) : nil
    try check(dnnl_memory_create(&handle, &layout.descriptor, oneDNN.engine, address), "dnnl_memory_create")
    guard let handle else { throw ModelError(.backend, "oneDNN: no memory object") }
    self.handle = handle
  }

  deinit { dnnl_memory_destroy(handle) }

  /// Borrows the elements at `address` until the next call; oneDNN writes only to destinations.
  func borrow(_ address: UnsafeRawPointer) throws(ModelError) {
    try check(
      dnnl_memory_set_data_handle(handle, UnsafeMutableRawPointer(mutating: address)),
      "dnnl_memory_set_data_handle")
  }
}

/// A matrix in the layout that its matmuls want: where it lies, or a copy.
final class PackedMatrix {
  let layout: MatrixLayout
  private let oneDNN: OneDNN
  private let memory: MatrixMemory
  /// Keeps borrowed elements alive.
  private let owner: Any?
  fileprivate var handle: dnnl_memory_t { memory.handle }

  /// Whether the elements are used where they lie.
  var isBorrowed: Bool { owner != nil }

  /// Memory for a matrix, to be filled before use.
  init(_ oneDNN: OneDNN, _ layout: MatrixLayout) throws(ModelError) {
    self.oneDNN = oneDNN
    self.layout = layout
    owner = nil
    memory = try MatrixMemory(oneDNN, layout, owning: true)
  }

  /// Uses elements where they lie, in `layout`.
  ///
  /// - Parameter owner: keeps them there.
  init(
    _ oneDNN: OneDNN, _ layout: MatrixLayout, borrowing address: UnsafeRawPointer, of owner: Any
  ) throws(ModelError) {
    self.oneDNN = oneDNN
    self.layout = layout
    self.owner = owner
    memory = try MatrixMemory(oneDNN, layout, owning: false)
    try memory.borrow(address)
  }

  /// Reorders elements at an address that lie there in `source`, converting the type where the layouts differ in it.
  func fill(from address: UnsafeRawPointer, _ source: MatrixLayout) throws(ModelError) {
    precondition(!isBorrowed, "a borrowed matrix is not written")
    let memory = try MatrixMemory(oneDNN, source, owning: false)
    try memory.borrow(address)
    try reorder(from: memory.handle, source)
  }

  /// Reorders another packed matrix.
  func fill(from other: PackedMatrix) throws(ModelError) {
    precondition(!isBorrowed, "a borrowed matrix is not written")
    try reorder(from: other.handle, other.layout)
  }

  private func reorder(from source: dnnl_memory_t, _ sourceLayout: MatrixLayout) throws(ModelError) {
    var from = sourceLayout.descriptor
    var to = layout.descriptor
    var descriptor: dnnl_primitive_desc_t?
    try check(
      dnnl_reorder_primitive_desc_create(&descriptor, &from, oneDNN.engine, &to, oneDNN.engine, nil),
      "dnnl_reorder_primitive_desc_create")
    defer { dnnl_primitive_desc_destroy(descriptor) }
    var primitive: dnnl_primitive_t?
    try check(dnnl_primitive_create(&primitive, descriptor), "dnnl_primitive_create")
    guard let primitive else { throw ModelError(.backend, "oneDNN: no reorder") }
    defer { dnnl_primitive_destroy(primitive) }
    try oneDNN.run(
      primitive,
      [
        dnnl_exec_arg_t(arg: DNNL_ARG_SRC, memory: source),
        dnnl_exec_arg_t(arg: DNNL_ARG_DST, memory: handle),
      ])
  }
}

/// What a matmul does with its product besides writing it.
private struct MatmulAttributes: ~Copyable {
  let handle: dnnl_primitive_attr_t

  /// - Parameter accumulates: whether the product is added to what the output holds.
  init(accumulates: Bool) throws(ModelError) {
    var operations: dnnl_post_ops_t?
    try check(dnnl_post_ops_create(&operations), "dnnl_post_ops_create")
    defer { dnnl_post_ops_destroy(operations) }
    if accumulates { try check(dnnl_post_ops_append_sum(operations, 1), "dnnl_post_ops_append_sum") }
    var handle: dnnl_primitive_attr_t?
    try check(dnnl_primitive_attr_create(&handle), "dnnl_primitive_attr_create")
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
    try check(dnnl_matmul_desc_init(&operation, &from, &by, nil, &to), "dnnl_matmul_desc_init")
    var descriptor: dnnl_primitive_desc_t?
    let attributes = try MatmulAttributes(accumulates: accumulates)
    let status = dnnl_primitive_desc_create(
      &descriptor, &operation, attributes.handle, oneDNN.engine, nil)
    if status == dnnl_unimplemented { return nil }
    try check(status, "dnnl_primitive_desc_create")
    defer { dnnl_primitive_desc_destroy(descriptor) }

    guard let chosen = dnnl_primitive_desc_query_md(descriptor, dnnl_query_weights_md, 0) else {
      throw ModelError(.backend, "oneDNN: a matmul without weights")
    }
    var name: UnsafePointer<CChar>?
    try check(
      dnnl_primitive_desc_query(descriptor, dnnl_query_impl_info_str, 0, &name), "dnnl_primitive_desc_query")
    let layouts = Seat.Layouts(
      source: sourceLayout, weights: MatrixLayout(descriptor: chosen.pointee), destination: destinationLayout,
      scratchpad: dnnl_primitive_desc_query_md(descriptor, dnnl_query_scratchpad_md, 0).map {
        MatrixLayout(descriptor: $0.pointee)
      })
    let seat = try Seat(oneDNN, layouts)
    var primitive: dnnl_primitive_t?
    try check(dnnl_primitive_create(&primitive, descriptor), "dnnl_primitive_create")
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
