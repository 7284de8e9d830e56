/// Appends little-endian fields.
struct ByteWriter {
  private(set) var bytes: [UInt8] = []

  mutating func put(_ value: some FixedWidthInteger) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }
  mutating func put(_ value: Double) { put(value.bitPattern) }
  mutating func put(_ other: [UInt8]) { bytes.append(contentsOf: other) }
  mutating func replace(at offset: Int, with value: some FixedWidthInteger) {
    withUnsafeBytes(of: value.littleEndian) { source in
      for (i, byte) in source.enumerated() { bytes[offset + i] = byte }
    }
  }
}

/// Reads little-endian fields at any alignment and never past the end: LMDB's small values are unaligned.
struct ByteReader {
  private let bytes: UnsafeRawBufferPointer
  private(set) var offset = 0

  /// - Parameter bytes: must outlive the reader.
  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  var remaining: Int { bytes.count - offset }

  /// nil at the end.
  mutating func get<T: FixedWidthInteger>(_: T.Type = T.self) -> T? {
    guard remaining >= MemoryLayout<T>.size else { return nil }
    defer { offset += MemoryLayout<T>.size }
    return T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
  }
  mutating func getDouble() -> Double? { get(UInt64.self).map(Double.init(bitPattern:)) }
  mutating func get(count: Int) -> [UInt8]? {
    guard count >= 0, remaining >= count else { return nil }
    defer { offset += count }
    return Array(bytes[offset..<offset + count])
  }
}
