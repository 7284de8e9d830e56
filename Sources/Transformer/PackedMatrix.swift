import COneDNN

/// A matrix in the layout that its matmuls want: where it lies, or a copy.
final class PackedMatrix {
  let layout: MatrixLayout
  private let oneDNN: OneDNN
  private let memory: MatrixMemory
  /// Keeps borrowed elements alive.
  private let owner: Any?
  var handle: dnnl_memory_t { memory.handle }

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
    try OneDNN.check(
      dnnl_reorder_primitive_desc_create(&descriptor, &from, oneDNN.engine, &to, oneDNN.engine, nil),
      "dnnl_reorder_primitive_desc_create")
    defer { dnnl_primitive_desc_destroy(descriptor) }
    var primitive: dnnl_primitive_t?
    try OneDNN.check(dnnl_primitive_create(&primitive, descriptor), "dnnl_primitive_create")
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
