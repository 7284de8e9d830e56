/// Memory for `count` f32 elements, aligned for SIMD, freed when its owner goes. Together with `OneDNN.swift` the only place of
/// this module that owns raw memory: views of it are handed down a call and never kept.
struct FloatBuffer: ~Copyable {
  private let memory: UnsafeMutableRawBufferPointer
  let count: Int

  /// Elements begin as zero.
  init(count: Int) {
    self.count = count
    memory = .allocate(byteCount: max(count, 1) * MemoryLayout<Float>.stride, alignment: 64)
    memory.initializeMemory(as: Float.self, repeating: 0)
  }

  deinit { memory.deallocate() }

  /// The first `count` elements, for writing.
  func writable(_ count: Int) -> UnsafeMutableBufferPointer<Float> {
    precondition(count <= self.count, "view larger than its buffer")
    // The memory was bound to Float by `init` and stays so.
    return UnsafeMutableBufferPointer(
      start: memory.baseAddress?.assumingMemoryBound(to: Float.self), count: count)
  }

  /// The first `count` elements, for reading.
  func readable(_ count: Int) -> UnsafeBufferPointer<Float> {
    UnsafeBufferPointer(writable(count))
  }

  /// A part, for writing.
  func writable(_ range: Range<Int>) -> UnsafeMutableBufferPointer<Float> {
    UnsafeMutableBufferPointer(rebasing: writable(count)[range])
  }

  /// A part, for reading.
  func readable(_ range: Range<Int>) -> UnsafeBufferPointer<Float> {
    UnsafeBufferPointer(writable(range))
  }
}
