import COneDNN

/// Element types of a matmul's factors. The product is always f32.
enum FactorType {
  case float32, bfloat16

  var byteCount: Int { self == .float32 ? 4 : 2 }

  var code: dnnl_data_type_t { self == .float32 ? dnnl_f32 : dnnl_bf16 }
}

/// oneDNN's CPU engine with one stream. Everything made from it is used from one thread at a time.
final class OneDNN {
  let engine: dnnl_engine_t
  let stream: dnnl_stream_t

  init() throws(ModelError) {
    var engine: dnnl_engine_t?
    try OneDNN.check(dnnl_engine_create(&engine, dnnl_cpu, 0), "dnnl_engine_create")
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

  /// - Throws: `backend` unless `status` is success.
  static func check(_ status: dnnl_status_t, _ what: String) throws(ModelError) {
    guard status == dnnl_success else {
      throw ModelError(.backend, "oneDNN: \(what) failed with status \(status.rawValue)")
    }
  }

  func run(_ primitive: dnnl_primitive_t, _ arguments: [dnnl_exec_arg_t]) throws(ModelError) {
    let status = arguments.withUnsafeBufferPointer {
      dnnl_primitive_execute(primitive, stream, Int32($0.count), $0.baseAddress)
    }
    try OneDNN.check(status, "dnnl_primitive_execute")
    try OneDNN.check(dnnl_stream_wait(stream), "dnnl_stream_wait")
  }
}

/// How a matrix lies in memory: extents, element type, and the blocking that oneDNN chose.
struct MatrixLayout: Equatable {
  var descriptor: dnnl_memory_desc_t

  /// Row-major, or column-major as the transpose of a row-major matrix.
  ///
  /// - Parameter apart: elements from row to row, or from column to column; nil for no more than there are.
  static func strided(
    _ rows: Int, _ columns: Int, _ type: FactorType, transposed: Bool = false, apart: Int? = nil
  ) throws(ModelError) -> MatrixLayout {
    var layout = MatrixLayout(descriptor: dnnl_memory_desc_t())
    let dimensions = [Int64(rows), Int64(columns)]
    let strides = transposed ? [1, Int64(apart ?? rows)] : [Int64(apart ?? columns), 1]
    try OneDNN.check(
      dnnl_memory_desc_init_by_strides(&layout.descriptor, 2, dimensions, type.code, strides),
      "dnnl_memory_desc_init_by_strides")
    return layout
  }

  /// Whatever oneDNN finds fastest; resolved when a `Matmul` is made.
  static func any(_ rows: Int, _ columns: Int, _ type: FactorType) throws(ModelError) -> MatrixLayout {
    var layout = MatrixLayout(descriptor: dnnl_memory_desc_t())
    try OneDNN.check(
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
struct MatrixMemory: ~Copyable {
  let handle: dnnl_memory_t

  /// - Parameter owning: allocates the elements, freed with the object; otherwise an address is set before each use.
  init(_ oneDNN: OneDNN, _ layout: MatrixLayout, owning: Bool) throws(ModelError) {
    var layout = layout
    var handle: dnnl_memory_t?
    // DNNL_MEMORY_ALLOCATE, a macro that Swift does not import, is the address of all ones.
    let address = owning ? UnsafeMutableRawPointer(bitPattern: UInt.max) : nil
    try OneDNN.check(
      dnnl_memory_create(&handle, &layout.descriptor, oneDNN.engine, address), "dnnl_memory_create")
    guard let handle else { throw ModelError(.backend, "oneDNN: no memory object") }
    self.handle = handle
  }

  deinit { dnnl_memory_destroy(handle) }

  /// Borrows the elements at `address` until the next call; oneDNN writes only to destinations.
  func borrow(_ address: UnsafeRawPointer) throws(ModelError) {
    try OneDNN.check(
      dnnl_memory_set_data_handle(handle, UnsafeMutableRawPointer(mutating: address)),
      "dnnl_memory_set_data_handle")
  }
}
