/// Collects small tensors and writes them as one safetensors file, which appears whole or not at all. Tensors that should not
/// stand in memory twice go through a ``SafetensorsStream``.
public struct SafetensorsWriter: Sendable {
  private var entries: [(tensor: TensorDescription, bytes: [UInt8])] = []
  private var names: Set = ["__metadata__"]
  /// The header's `__metadata__`; left out when empty.
  public var metadata: [String: String] = [:]

  public init() {}

  /// Adds a tensor of f32.
  ///
  /// - Parameter shape: its product is `elements.count`.
  /// - Throws: `mismatch` for another count or a name that is taken.
  public mutating func add(_ name: String, shape: [Int], _ elements: [Float]) throws(SafetensorsError) {
    try add(name, dtype: .float32, shape: shape, bytes: littleEndianBytes(elements.map(\.bitPattern)))
  }

  /// Adds a tensor of i32.
  public mutating func add(_ name: String, shape: [Int], _ elements: [Int32]) throws(SafetensorsError) {
    try add(name, dtype: .int32, shape: shape, bytes: littleEndianBytes(elements))
  }

  /// Adds a tensor of any dtype from its little-endian bytes.
  ///
  /// - Throws: `mismatch` when the shape does not take this many bytes or the name is taken or reserved.
  public mutating func add(
    _ name: String, dtype: TensorDtype, shape: [Int], bytes: [UInt8]
  ) throws(SafetensorsError) {
    guard !names.contains(name) else { throw SafetensorsError(.mismatch, "the name is taken", tensor: name) }
    let tensor = TensorDescription(name, dtype, shape: shape)
    let size = try tensor.byteCount()
    guard size == bytes.count else {
      throw SafetensorsError(
        .mismatch, "shape \(shape) takes \(size) bytes, not \(bytes.count)", tensor: name)
    }
    names.insert(name)
    entries.append((tensor, bytes))
  }

  /// Writes the file beside its final place, syncs it, renames it over `path` and syncs the folder.
  ///
  /// - Throws: `io`; then `path` is as it was and no temporary file stays behind.
  public func write(to path: String) throws(SafetensorsError) {
    var stream = try SafetensorsStream(path: path, entries.map(\.tensor), metadata: metadata)
    for entry in entries { try stream.append(entry.bytes) }
    try stream.commit()
  }
}
