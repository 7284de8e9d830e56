/// 64-byte aligned floats that grow and are used again.
struct ScratchFloats: ~Copyable {
  private var memory: UnsafeMutablePointer<Float>?
  private var count = 0

  deinit { memory?.deallocate() }

  /// `floats` floats of any content; what was taken before is no longer valid.
  mutating func take(_ floats: Int) -> UnsafeMutablePointer<Float> {
    if let memory, floats <= count { return memory }
    memory?.deallocate()
    let made = QueryRows.allocate(Float.self, floats)
    memory = made
    count = floats
    return made
  }
}
