import Kernels

/// Decodes frames of whole partitions, or unpacks blocks of 8 bits, and keeps the last one.
///
/// A frame's content: positions u32 `[heads][rows]`, then the byte planes of `[K|V][head][row][headDim]`. Confined to one
/// call.
final class FrameDecoder {
  /// A decoded frame. Valid until the next one is decoded.
  struct Frame {
    let content: UnsafeRawPointer
    let elements: UnsafeRawPointer
    let rows: Int
    let shape: SlabShape

    func run(first: Int) -> RowRun {
      RowRun(
        first: first, count: rows, heads: 0..<shape.kvHeads, keys: elements,
        values: elements + shape.kvHeads * rows * shape.rowBytes, headStride: rows * shape.rowBytes,
        positions: content.assumingMemoryBound(to: UInt32.self), positionStride: rows)
    }
  }

  private var context: ZstdDecompressor?
  private var content = ScratchMemory()
  private var elements = ScratchMemory()
  private var compressed = ScratchMemory()
  /// The last frame, by where it is: one decoder serves all layers of a staged tail.
  private var current: (layer: Int, kind: RowKind, number: Int, frame: Frame)?
  /// Where the last frame's slab was: the next frame is there or behind.
  private var hint: [RowKind: Int] = [:]

  /// Bytes of a frame's content.
  static func contentBytes(_ shape: SlabShape, rows: Int) -> Int {
    shape.kvHeads * rows * 4 + 2 * shape.kvHeads * rows * shape.rowBytes
  }

  /// Forgets the last frame: its number may stand for another one now.
  func forget() { current = nil }

  /// Frame `number` of a layer's stream.
  ///
  /// - Throws: `corrupt` where the stream or the frame is damaged.
  func frame(
    _ kind: RowKind, _ number: Int, rows: Int, _ source: LayerRows, _ view: borrowing ReadTransaction
  ) throws(StoreError) -> Frame {
    let layer = source.stored.layer
    if let current, current.layer == layer, current.kind == kind, current.number == number,
      current.frame.rows == rows
    {
      return current.frame
    }
    current = nil
    let shape = source.plan.shape
    let size = Self.contentBytes(shape, rows: rows)
    let target = content.take(size)
    let context = try decompressor()
    let fits: Bool
    if let staged = source.staged?.frames(kind)[number] {
      fits = staged.withUnsafeBytes { context.decompress($0, into: target) }
    } else {
      do throws(StoreError) {
        let bytes = try stored(kind, number, source.stored, source.validated, view)
        fits = context.decompress(bytes, into: target)
      } catch {
        var error = error
        error.partition = error.partition ?? number
        throw error
      }
    }
    guard fits, let base = target.baseAddress else {
      throw damage(kind, number, source.stored, "it does not decompress to \(size) bytes")
    }
    let joined = elements.take(2 * shape.kvHeads * rows * shape.rowBytes)
    let positionBytes = shape.kvHeads * rows * 4
    guard let elementBase = joined.baseAddress else {
      throw damage(kind, number, source.stored, "it is empty")
    }
    lagoon_join_planes(
      base + positionBytes, shape.elementBytes, joined.count / shape.elementBytes, elementBase)
    let frame = Frame(
      content: UnsafeRawPointer(base), elements: UnsafeRawPointer(elementBase), rows: rows, shape: shape)
    current = (layer, kind, number, frame)
    return frame
  }

  /// The rows that a partition left in blocks, unpacked to the session's element type.
  func unpack(
    _ p: Int, _ blocks: BlockShape, _ source: LayerRows, _ view: borrowing ReadTransaction
  ) throws(StoreError) -> Frame {
    let layer = source.stored.layer
    if let current, current.layer == layer, current.kind == .blocks, current.number == p {
      return current.frame
    }
    current = nil
    let shape = source.plan.shape
    let rows = blocks.kept
    let first = p * blocks.perPartition
    let places = try source.blockPlaces(first..<first + blocks.perPartition, blocks, view)
    guard let positions = content.take(shape.kvHeads * rows * 4).baseAddress,
      let base = elements.take(2 * shape.kvHeads * rows * shape.rowBytes).baseAddress
    else { throw StoreError(.internal, "a partition of no rows") }
    for (i, place) in places.enumerated() {
      let block = blocks.block(first + i)
      let row = block.head * rows + block.firstRow
      (positions + 4 * row).copyMemory(from: place.positions, byteCount: 4 * block.rows)
      place.rows.unpack(
        source.stored.record.configuration.elementType, headDim: shape.headDim,
        keys: base + row * shape.rowBytes, values: base + (shape.kvHeads * rows + row) * shape.rowBytes)
    }
    let frame = Frame(
      content: UnsafeRawPointer(positions), elements: UnsafeRawPointer(base), rows: rows, shape: shape)
    current = (layer, .blocks, p, frame)
    return frame
  }

  private func decompressor() throws(StoreError) -> ZstdDecompressor {
    if let context { return context }
    let made = try ZstdDecompressor()
    context = made
    return made
  }

  /// The compressed bytes of a committed frame: in the map where they lie in one slab, else gathered.
  private func stored(
    _ kind: RowKind, _ number: Int, _ layer: StoredLayer, _ validated: ValidatedSlabs,
    _ view: borrowing ReadTransaction
  ) throws(StoreError) -> UnsafeRawBufferPointer {
    let (index, value, header) = try find(kind, number, layer, validated, view)
    let entry = FrameDirectory.entry(number - header.first, of: value)
    let start = index * SlabShape.rowAreaBytes + entry.offset
    guard entry.offset < SlabShape.rowAreaBytes, entry.offset % 16 == 0, entry.length > 0,
      start + FrameDirectory.padded(entry.length) <= layer.streamBytes(kind)
    else { throw damage(kind, number, layer, "its directory entry is out of range") }
    hint[kind] = index
    let here = min(entry.length, SlabShape.rowAreaBytes - entry.offset)
    if here == entry.length {
      return UnsafeRawBufferPointer(start: value + SlabShape.headerBytes + entry.offset, count: here)
    }
    let whole = compressed.take(entry.length)
    var done = 0
    var slab = value
    var offset = entry.offset
    var next = index
    while done < entry.length {
      let part = min(entry.length - done, SlabShape.rowAreaBytes - offset)
      UnsafeMutableRawBufferPointer(rebasing: whole[done..<done + part]).copyMemory(
        from: UnsafeRawBufferPointer(start: slab + SlabShape.headerBytes + offset, count: part))
      done += part
      offset = 0
      next += 1
      if done < entry.length { slab = try layer.slab(layer.stream(kind, next), view, validated) }
    }
    return UnsafeRawBufferPointer(whole)
  }

  /// The slab in which a frame starts: near the last one, else by binary search over the slabs.
  private func find(
    _ kind: RowKind, _ number: Int, _ layer: StoredLayer, _ validated: ValidatedSlabs,
    _ view: borrowing ReadTransaction
  ) throws(StoreError) -> (index: Int, value: UnsafeRawPointer, header: SlabHeader) {
    let slabs = LayerPlan.streamSlabs(layer.streamBytes(kind))
    var low = 0
    var high = slabs
    var probe = min(hint[kind] ?? slabs / 2, slabs - 1)
    while low < high {
      let expected = layer.stream(kind, probe)
      let value = try layer.slab(expected, view, validated)
      guard let header = SlabHeader(value) else {
        throw layer.damage(expected, "its header is wrong", validated)
      }
      if number < header.first {
        high = probe
      } else if number >= header.first + header.count {
        low = probe + 1
      } else {
        return (probe, value, header)
      }
      // Frames are mostly read in order: look next door before halving.
      probe = probe + 1 == low && hint[kind] == probe ? low : (low + high) / 2
    }
    throw damage(kind, number, layer, "no slab has it")
  }

  private func damage(_ kind: RowKind, _ number: Int, _ layer: StoredLayer, _ what: String) -> StoreError {
    StoreError(
      .corrupt, "the frame of \(kind == .archive ? "the archive" : "kept rows") is damaged: \(what)",
      session: layer.record.configuration.name, layer: layer.layer, partition: number)
  }
}

/// Memory that grows and is used again.
struct ScratchMemory: ~Copyable {
  private var memory = UnsafeMutableRawBufferPointer(start: nil, count: 0)

  deinit { memory.deallocate() }

  /// `count` bytes, 64-byte aligned, of any content; what was taken before is no longer valid.
  mutating func take(_ count: Int) -> UnsafeMutableRawBufferPointer {
    if memory.count < count {
      memory.deallocate()
      memory = .allocate(byteCount: count, alignment: 64)
    }
    return UnsafeMutableRawBufferPointer(rebasing: memory[..<count])
  }
}
