/// Appends frames to one layer's stream and cuts it into slabs.
struct FrameStream {
  private let kind: RowKind
  private let layer: StoredLayer
  private let generation: UInt64
  private let pool: SlabPool
  /// Of the whole stream.
  private(set) var bytes: Int
  private var slabs: [(header: SlabHeader, buffer: SlabBuffer)] = []
  /// The number of the next frame.
  private var next = 0

  /// - Parameter firstFrame: nil: the stream goes on behind the layer's frames.
  init(kind: RowKind, layer: StoredLayer, generation: UInt64, pool: SlabPool, firstFrame: Int? = nil) {
    self.kind = kind
    self.layer = layer
    self.generation = generation
    self.pool = pool
    bytes = layer.streamBytes(kind)
    next = firstFrame ?? layer.plan.scored(layer.record.tokens)
  }

  /// Copies the stream's last slab, if it is partial.
  mutating func load(_ view: borrowing ReadTransaction, _ validated: ValidatedSlabs) throws(StoreError) {
    guard bytes % SlabShape.rowAreaBytes != 0 else { return }
    let expected = layer.stream(kind, bytes / SlabShape.rowAreaBytes)
    let value = try layer.slab(expected, view, validated)
    guard var header = SlabHeader(value), header.first + header.count == next else {
      throw layer.damage(expected, "its frame directory does not end with the last frame", validated)
    }
    let buffer = try SlabBuffer(pool)
    buffer.value.copyMemory(from: value, byteCount: SlabShape.valueBytes)
    header.generation = generation
    slabs.append((header, buffer))
  }

  mutating func append(_ frame: [UInt8]) throws(StoreError) {
    var done = 0
    let size = FrameDirectory.padded(frame.count)
    while done < size {
      let offset = bytes % SlabShape.rowAreaBytes
      if offset == 0 { try addSlab() }
      let last = slabs.count - 1
      let value = slabs[last].buffer.value
      if done == 0 {
        // At most 65,536 / 144 frames start in a slab: the entry fits the table.
        FrameDirectory.write(slabs[last].header.count, offset: offset, length: frame.count, to: value)
        slabs[last].header.count += 1
        next += 1
      }
      let part = min(size - done, SlabShape.rowAreaBytes - offset)
      let target = UnsafeMutableRawBufferPointer(start: value + SlabShape.headerBytes + offset, count: part)
      let data = max(0, min(part, frame.count - done))
      frame.withUnsafeBytes { source in
        UnsafeMutableRawBufferPointer(rebasing: target[..<data]).copyMemory(
          from: UnsafeRawBufferPointer(
            rebasing: source[min(done, frame.count)..<min(done, frame.count) + data]))
      }
      for i in data..<part { target[i] = 0 }
      done += part
      bytes += part
      slabs[last].header.payloadBytes = offset + part
    }
  }

  private mutating func addSlab() throws(StoreError) {
    var header = layer.stream(kind, bytes / SlabShape.rowAreaBytes).header
    header.generation = generation
    header.first = next
    header.count = 0
    header.payloadBytes = 0
    slabs.append((header, try SlabBuffer(pool)))
  }

  /// The slabs that are full, which the stream forgets.
  mutating func takeFull() -> [(key: RowKey, buffer: SlabBuffer)] {
    let full = slabs.prefix { $0.header.payloadBytes == SlabShape.rowAreaBytes }
    slabs.removeFirst(full.count)
    return Self.seal(full)
  }

  /// The slabs to write.
  func seal() -> [(key: RowKey, buffer: SlabBuffer)] { Self.seal(slabs[...]) }

  private static func seal(
    _ slabs: ArraySlice<(header: SlabHeader, buffer: SlabBuffer)>
  ) -> [(key: RowKey, buffer: SlabBuffer)] {
    slabs.map { slab in
      slab.header.seal(slab.buffer.value)
      return (slab.header.key, slab.buffer)
    }
  }
}
