import CPosix

/// Private memory for one frame at a time: page-aligned, mapped when needed, given back to the system when small frames
/// follow large ones. Until bytes are written to it, it costs address space only.
package struct MappedBuffer: ~Copyable {
  private var start: UnsafeMutableRawPointer?
  private var capacity = 0
  /// Reservations in a row that took less than an eighth of a large buffer.
  private var smallOnes = 0

  /// Kept whatever happens: 64 KiB.
  package static let smallest = 1 << 16

  package init() {}

  deinit { if let start { lagoon_unmap(start, UInt64(capacity)) } }

  /// Makes room for `bytes` bytes; what was in the buffer is lost.
  ///
  /// The result holds until the next call on this buffer. Its memory is mapped by us alone and unmapped only by
  /// ``reserve(_:)``, ``shrink()`` and `deinit`.
  /// - Throws: ENOMEM.
  package mutating func reserve(_ bytes: Int) throws(SystemError) -> UnsafeMutableRawBufferPointer {
    smallOnes = isLarge && bytes < capacity / 8 ? smallOnes + 1 : 0
    if smallOnes >= 32 { shrink() }
    if bytes > capacity {
      release()
      // Whole powers of two, so that a stream of frames of slightly different sizes settles at once.
      var wanted = Self.smallest
      while wanted < bytes { wanted *= 2 }
      var address: UnsafeMutableRawPointer?
      _ = try SystemError.check(lagoon_map_private(UInt64(wanted), &address))
      start = address
      capacity = wanted
    }
    return UnsafeMutableRawBufferPointer(start: start, count: bytes)
  }

  /// Gives memory beyond ``smallest`` back.
  package mutating func shrink() {
    if capacity > Self.smallest { release() }
  }

  package var isLarge: Bool { capacity > Self.smallest }

  private mutating func release() {
    if let start { lagoon_unmap(start, UInt64(capacity)) }
    start = nil
    capacity = 0
    smallOnes = 0
  }
}
