/// The directory of a slab of frames: an entry for each frame that starts in the slab, at the slab's byte 112.
///
/// Frames of a layer form one byte stream, cut into slabs of 65,536 bytes; a frame may go on in the slabs that follow.
/// Each takes a multiple of 16 bytes and at least `leastBytes`, so that the entries of a slab always fit.
enum FrameDirectory {
  /// offset u32, length u32 (without padding), little-endian
  static let entryBytes = 8
  static let leastBytes = 144
  static let mostEntries = SlabShape.tableBytes / entryBytes

  /// Bytes that a frame takes in the stream.
  static func padded(_ length: Int) -> Int { max(leastBytes, (length + 15) & ~15) }

  static func entry(_ i: Int, of value: UnsafeRawPointer) -> (offset: Int, length: Int) {
    let base = SlabShape.fixedHeaderBytes + i * entryBytes
    return (
      Int(UInt32(littleEndian: value.loadUnaligned(fromByteOffset: base, as: UInt32.self))),
      Int(UInt32(littleEndian: value.loadUnaligned(fromByteOffset: base + 4, as: UInt32.self)))
    )
  }

  static func write(_ i: Int, offset: Int, length: Int, to value: UnsafeMutableRawPointer) {
    let base = SlabShape.fixedHeaderBytes + i * entryBytes
    value.storeBytes(of: UInt32(offset).littleEndian, toByteOffset: base, as: UInt32.self)
    value.storeBytes(of: UInt32(length).littleEndian, toByteOffset: base + 4, as: UInt32.self)
  }
}
