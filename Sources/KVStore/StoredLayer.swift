import LagKV

/// One layer of a session as a snapshot's record describes it: which slabs there must be and what their headers must
/// say.
struct StoredLayer {
  let record: SessionRecord
  let plan: LayerPlan
  let layer: Int

  /// What a slab's header must say.
  struct Expectation {
    var header: SlabHeader
    /// The generation must be the header's, not an earlier one.
    var isLatest: Bool
    /// Later commits do not change the slab.
    var isFinal: Bool
    /// What it holds, for messages: the absolute partition, if it is of one.
    var partition: Int?
  }

  private func key(_ kind: RowKind, _ index: Int, _ group: Int) -> RowKey {
    RowKey(extent: record.rows.extent, kind: kind, index: index, layer: layer, group: group)
  }

  /// Slab `index` of the kept stream.
  func kept(_ index: Int, group: Int) -> Expectation {
    let slots = plan.shape.slots
    let rows = plan.keptSlabRows(record.tokens)
    let first = index * slots
    let count = min(slots, rows - first)
    let latest =
      plan.kept > 0 && plan.codec == .raw
      ? max(record.sinksGeneration, record.scoredGeneration) : record.sinksGeneration
    return Expectation(
      header: header(.kept, index, group, generation: latest, first: first, count: count),
      isLatest: first + slots >= rows, isFinal: count == slots,
      partition: plan.kept > 0 && first >= plan.sinks ? (first - plan.sinks) / plan.kept : nil)
  }

  /// Slab `i` of partition `p` of the window.
  func window(_ p: Int, _ i: Int, group: Int) -> Expectation {
    let slots = plan.shape.slots
    let rows = plan.rows(of: p, at: record.tokens)
    let count = min(slots, rows - i * slots)
    var header = header(
      .window, plan.windowIndex(p, i), group, generation: record.generation,
      first: plan.partitionStart(p) + i * slots, count: count)
    header.partition = p
    let isLast = plan.partitionStart(p) + i * slots + count == record.tokens
    return Expectation(
      header: header, isLatest: isLast, isFinal: count == slots || rows == plan.lag, partition: p)
  }

  /// Bytes of a stream of frames.
  func streamBytes(_ kind: RowKind) -> Int {
    let bytes = kind == .archive ? record.archiveBytes : record.coldBytes
    return layer < bytes.count ? bytes[layer] : 0
  }

  /// Slab `index` of a stream of frames. `first` and `count` are the slab's own.
  func stream(_ kind: RowKind, _ index: Int) -> Expectation {
    let end = streamBytes(kind)
    let start = index * SlabShape.rowAreaBytes
    let payload = min(SlabShape.rowAreaBytes, end - start)
    let header = SlabHeader(
      key: key(kind, index, 0), elementType: record.configuration.elementType, codec: .zstd,
      heads: 0..<plan.shape.kvHeads, headDim: plan.shape.headDim, slots: 0,
      generation: record.scoredGeneration, first: 0, count: 0, payloadBytes: payload)
    return Expectation(
      header: header, isLatest: start + SlabShape.rowAreaBytes >= end,
      isFinal: payload == SlabShape.rowAreaBytes)
  }

  func header(
    _ kind: RowKind, _ index: Int, _ group: Int, generation: UInt64, first: Int, count: Int
  ) -> SlabHeader {
    SlabHeader(
      key: key(kind, index, group), elementType: record.configuration.elementType, codec: .raw,
      heads: plan.shape.heads(of: group), headDim: plan.shape.headDim, slots: plan.shape.slots,
      generation: generation, first: first, count: count)
  }

  /// Slab `index` of the blocks.
  func blocks(_ index: Int, _ shape: BlockShape) -> Expectation {
    let first = index * shape.perSlab
    let total = plan.scored(record.tokens) * shape.perPartition
    let count = min(shape.perSlab, total - first)
    let header = SlabHeader(
      key: key(.blocks, index, 0), elementType: record.configuration.elementType, codec: .q8,
      heads: 0..<plan.shape.kvHeads, headDim: plan.shape.headDim, slots: shape.rows,
      generation: record.scoredGeneration, first: first, count: count, payloadBytes: count * shape.bytes)
    return Expectation(
      header: header, isLatest: first + shape.perSlab >= total, isFinal: count == shape.perSlab,
      partition: first / shape.perPartition)
  }

  /// Every slab of the layer, in order of keys within each kind.
  func forEachSlab(_ body: (Expectation) throws(StoreError) -> Void) throws(StoreError) {
    let shape = plan.shape
    for index in 0..<shape.slabs(plan.keptSlabRows(record.tokens)) {
      for group in 0..<shape.groups { try body(kept(index, group: group)) }
    }
    for p in plan.window(record.tokens) {
      for i in 0..<shape.slabs(plan.rows(of: p, at: record.tokens)) {
        for group in 0..<shape.groups { try body(window(p, i, group: group)) }
      }
    }
    if let blocks = plan.blocks {
      for index in 0..<blocks.slabs(partitions: plan.scored(record.tokens)) {
        try body(self.blocks(index, blocks))
      }
    }
    for kind in [RowKind.archive, .coldKept] {
      for index in 0..<LayerPlan.streamSlabs(streamBytes(kind)) { try body(stream(kind, index)) }
    }
  }
}

// MARK: - Checks

extension StoredLayer {
  /// Reads a slab and checks it, header and checksum, when this version of it is first read since the store was opened, or
  /// always with `fully`.
  ///
  /// - Returns: the slab's value in the map, valid as long as the snapshot.
  /// - Throws: `corrupt`, with session, layer and partition.
  func slab(
    _ expected: Expectation, _ view: borrowing ReadTransaction, _ validated: ValidatedSlabs,
    fully: Bool = false
  ) throws(StoreError) -> UnsafeRawPointer {
    if !fully, let known = validated.place(of: expected.header, isFinal: expected.isFinal) { return known }
    guard let value = try view.slab(expected.header.key) else {
      throw damage(expected, "it is missing or has the wrong size", validated)
    }
    guard let found = SlabHeader(value) else {
      throw damage(expected, "magic, version or a field of its header is wrong", validated)
    }
    var wanted = expected.header
    if wanted.key.kind.holdsFrames {
      guard found.count <= FrameDirectory.mostEntries else {
        throw damage(expected, "its frame directory has \(found.count) entries", validated)
      }
      wanted.first = found.first
      wanted.count = found.count
    }
    guard
      found.generation == wanted.generation || (!expected.isLatest && found.generation < wanted.generation)
    else {
      throw damage(
        expected, "it is of generation \(found.generation), the session expects \(wanted.generation)",
        validated)
    }
    wanted.generation = found.generation
    guard found == wanted else {
      throw damage(expected, "its header belongs to other rows", validated)
    }
    guard found.checksum(of: value) == SlabHeader.storedChecksum(value) else {
      throw damage(expected, "its checksum is wrong", validated)
    }
    let window = plan.window(record.tokens).lowerBound
    validated.insert(
      found, at: value, isFinal: expected.isFinal,
      first: expected.header.key.kind == .window ? plan.windowIndex(window, 0) : 0)
    return value
  }

  func damage(_ expected: Expectation, _ what: String, _ validated: ValidatedSlabs) -> StoreError {
    validated.noteDamage(expected.header.key)
    let h = expected.header
    let place =
      switch h.key.kind {
      case .kept: "kept rows \(h.first)..<\(h.first + h.count)"
      case .window: "window rows at tokens \(h.first)..<\(h.first + h.count)"
      case .archive: "slab \(h.key.index) of the archive's frames"
      case .coldKept: "slab \(h.key.index) of the kept rows' frames"
      case .blocks: "slab \(h.key.index) of the kept rows' blocks"
      }
    return StoreError(
      .corrupt,
      "the record of \(place) (heads \(h.heads.lowerBound)..<\(h.heads.upperBound)) is damaged: \(what)",
      session: record.configuration.name, layer: layer, partition: expected.partition)
  }
}
