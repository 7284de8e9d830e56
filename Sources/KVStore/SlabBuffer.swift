import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// One slab value in memory, with the alignment that it has in the map: rows are page-aligned.
///
/// Confined to the staged tail that owns it; while a commit is queued the writer thread reads it and the owner waits.
final class SlabBuffer {
  /// `SlabShape.valueBytes` bytes. New buffers hold anything: rows count only where they were written, and `seal` clears
  /// the rest.
  let value: UnsafeMutableRawPointer
  private let pool: SlabPool

  init(_ pool: SlabPool) throws(StoreError) {
    value = try pool.take() + SlabShape.valueOffset
    self.pool = pool
  }

  deinit { pool.give(value - SlabShape.valueOffset) }
}

/// Keeps a few freed slab buffers, so that small commits do not map and unmap memory each time.
final class SlabPool: Sendable {
  /// Addresses of mapped blocks of `SlabShape.storedBytes` bytes that nobody uses.
  private let free = Mutex<[UInt]>([])
  private let limit: Int

  init(limit: Int = 128) { self.limit = limit }

  deinit {
    free.withLock { blocks in
      for block in blocks { munmap(UnsafeMutableRawPointer(bitPattern: block), SlabShape.storedBytes) }
    }
  }

  fileprivate func take() throws(StoreError) -> UnsafeMutableRawPointer {
    if let block = free.withLock({ $0.popLast() }), let pointer = UnsafeMutableRawPointer(bitPattern: block) {
      return pointer
    }
    let flags = MAP_PRIVATE | MAP_ANONYMOUS
    guard let block = mmap(nil, SlabShape.storedBytes, PROT_READ | PROT_WRITE, Int32(flags), -1, 0),
      block != MAP_FAILED
    else {
      throw StoreError(.stagingFull, "no memory for a staging buffer", systemCode: errno)
    }
    return block
  }

  fileprivate func give(_ block: UnsafeMutableRawPointer) {
    let kept = free.withLock { blocks in
      guard blocks.count < limit else { return false }
      blocks.append(UInt(bitPattern: block))
      return true
    }
    if !kept { munmap(block, SlabShape.storedBytes) }
  }
}
