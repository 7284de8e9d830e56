import Glibc
import Synchronization

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

/// Keeps freed slab buffers, so that commits do not map memory anew each time: a fresh page costs more than filling it. While
/// commits follow each other as many as models of a hundred layers use, a few else.
final class SlabPool: Sendable {
  /// Addresses of mapped blocks of `SlabShape.storedBytes` bytes that nobody uses.
  private let free = Mutex<[UInt]>([])
  private let limit: Int
  private let limitWhenIdle: Int
  private let noteSurplus = Mutex<(@Sendable () -> Void)?>(nil)

  /// - Parameters:
  ///   - limit: 136 MiB of buffers.
  ///   - limitWhenIdle: those that ``trim()`` leaves, 8.5 MiB.
  init(limit: Int = 2048, limitWhenIdle: Int = 128) {
    self.limit = limit
    self.limitWhenIdle = limitWhenIdle
  }

  deinit { release(all: free.withLock { $0 }) }

  /// Free buffers.
  var count: Int { free.withLock { $0.count } }

  /// Calls `body` whenever free buffers become more than are kept when nothing is done.
  func onSurplus(_ body: @escaping @Sendable () -> Void) { noteSurplus.withLock { $0 = body } }

  /// Gives the surplus back to the system.
  func trim() {
    let surplus = free.withLock { blocks in
      let surplus = Array(blocks.dropFirst(limitWhenIdle))
      blocks.removeLast(surplus.count)
      return surplus
    }
    release(all: surplus)
  }

  private func release(all blocks: [UInt]) {
    for block in blocks { munmap(UnsafeMutableRawPointer(bitPattern: block), SlabShape.storedBytes) }
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
    let count: Int? = free.withLock { blocks in
      guard blocks.count < limit else { return nil }
      blocks.append(UInt(bitPattern: block))
      return blocks.count
    }
    if count == nil { munmap(block, SlabShape.storedBytes) }
    if count == limitWhenIdle + 1 { noteSurplus.withLock { $0 }?() }
  }
}
