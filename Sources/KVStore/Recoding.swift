import LagKV

/// Writes a session's rows anew, with its kept rows in another codec, and puts them in place of the old ones.
///
/// The copy grows under an extent of its own in small transactions, beside everything else that the store does. Then one small
/// transaction makes the session's record point to it and sets a tombstone for the old rows. Snapshots that show the old record keep
/// the old rows. Whoever dies on the way leaves the session as it was, and an extent that the next opening gives to a tombstone.
final class Recoding {
  let store: KVStore
  let source: SessionRecord
  private(set) var target: SessionRecord
  let sourcePlan: SessionPlan
  private let targetPlan: SessionPlan
  private let decoder = FrameDecoder()
  private let encoder = FrameEncoder()
  /// Called between steps; false: give up.
  private let goesOn: () -> Bool

  /// Slabs that one transaction writes, about, and one snapshot reads: 2 MiB.
  private static let step = 32

  /// Recodes a session.
  ///
  /// - Parameters:
  ///   - codec: raw or zstd.
  ///   - goesOn: called between steps, outside of transactions; false: give up.
  /// - Returns: false where it was given up.
  /// - Throws: `moved` where the session was committed to, `busy` where it is being written or an overlay stands on it, `notFound`,
  ///   `quotaExceeded`, `corrupt`, `invalidArgument` for a session that is never cold. The session is then as it was.
  static func run(
    _ store: KVStore, _ name: String, to codec: Codec, goesOn: @escaping () -> Bool = { true }
  ) throws(StoreError) -> Bool {
    let record = try store.environment.read { view throws(StoreError) in try store.record(name, view) }
    guard record.configuration.canBeCold, codec != .q8 else {
      throw StoreError(.invalidArgument, "the session's rows stay as they are", session: name)
    }
    guard record.rows.codec != codec else { return true }
    guard store.book.withLock({ !$0.isHeld(record.extent) }) else {
      throw StoreError(.busy, "the session is in use", session: name)
    }
    // Both copies are there for a while; a store that is nearly full is not filled first and emptied then.
    let raw = try SessionPlan(record.configuration).slabs(
      of: record.recoded(RowsPlace(extent: 0, codec: .raw)))
    try store.writer().checkRoom(slabs: raw, for: name)
    let isFirst = store.book.withLock { book in
      defer { book.isRecoding = true }
      return !book.isRecoding
    }
    guard isFirst else { throw StoreError(.busy, "another session is being recoded", session: name) }
    defer { store.book.withLock { $0.isRecoding = false } }
    let extent = try store.beginRecoding()
    do throws(StoreError) {
      let recoding = try Recoding(store, record, RowsPlace(extent: extent, codec: codec), goesOn)
      if try recoding.copy() {
        try recoding.switchOver()
        return true
      }
    } catch {
      try? store.dropRecoding(extent)
      throw error
    }
    try store.dropRecoding(extent)
    return false
  }

  private init(
    _ store: KVStore, _ record: SessionRecord, _ place: RowsPlace, _ goesOn: @escaping () -> Bool
  ) throws(StoreError) {
    self.store = store
    source = record
    target = record.recoded(place)
    sourcePlan = try SessionPlan(record)
    targetPlan = try SessionPlan(record.configuration, codec: place.codec)
    self.goesOn = goesOn
  }

  var name: String { source.configuration.name }

  /// - Returns: false where it was given up.
  private func copy() throws(StoreError) -> Bool {
    for layer in targetPlan.layers.indices {
      guard try copyFirstSlabs(layer), try copyFrames(layer), try copyWindow(layer) else { return false }
    }
    return true
  }

  private func stored(_ layer: Int) -> StoredLayer {
    StoredLayer(record: source, plan: sourcePlan.layers[layer], layer: layer)
  }

  private func rows(_ layer: Int) -> LayerRows {
    LayerRows(stored: stored(layer), staged: nil, validated: store.validated, decoder: decoder)
  }
}

// MARK: - Copying

extension Recoding {
  /// The slabs of the kept stream: the sinks and, in the raw codec, every kept row.
  private func copyFirstSlabs(_ layer: Int) throws(StoreError) -> Bool {
    let plan = targetPlan.layers[layer]
    let shape = plan.shape
    let new = StoredLayer(record: target, plan: plan, layer: layer)
    let total = plan.keptSlabRows(source.tokens)
    let step = max(1, Self.step / shape.groups)
    for index in stride(from: 0, to: shape.slabs(total), by: step) {
      let range = index * shape.slots..<min(total, (index + step) * shape.slots)
      var slabs: [Sealed] = []
      try withSource { view throws(StoreError) in
        let assembled = try AssembledSlabs(range, rows(layer), view, pool: store.slabPool)
        for (i, buffer) in assembled.buffers.enumerated() {
          let (slab, group) = i.quotientAndRemainder(dividingBy: shape.groups)
          slabs.append(Self.seal(new.kept(index + slab, group: group).header, buffer))
        }
      }
      guard try write(slabs) else { return false }
    }
    return true
  }

  /// Kept rows behind the sinks, a frame of each partition.
  private func copyFrames(_ layer: Int) throws(StoreError) -> Bool {
    let plan = targetPlan.layers[layer]
    guard plan.hasColdFrames else { return true }
    var stream = FrameStream(
      kind: .coldKept, layer: StoredLayer(record: target, plan: plan, layer: layer),
      generation: source.scoredGeneration, pool: store.slabPool, firstFrame: 0)
    let partitions = plan.scored(source.tokens)
    let step = max(1, Self.step * plan.shape.slots / (plan.kept * plan.shape.groups))
    for first in stride(from: 0, to: partitions, by: step) {
      try withSource { view throws(StoreError) in
        for p in first..<min(partitions, first + step) { try stream.append(try frame(p, layer, view)) }
      }
      let isLast = first + step >= partitions
      guard try write(stream.takeFull() + (isLast ? stream.seal() : [])) else { return false }
    }
    target.coldBytes[layer] = stream.bytes
    return true
  }

  private func frame(_ p: Int, _ layer: Int, _ view: borrowing ReadTransaction) throws(StoreError) -> [UInt8]
  {
    let plan = targetPlan.layers[layer]
    let shape = plan.shape
    let firstRow = plan.sinks + p * plan.kept
    let runs = try rows(layer).keptSlabRuns(firstRow..<firstRow + plan.kept, view)
    return try encoder.frame(shape, rows: plan.kept) { positions, elements in
      for run in runs {
        let row = run.first - firstRow
        let bytes = run.count * shape.rowBytes
        for head in run.heads {
          let one = run.head(head)
          if let source = one.positions {
            (positions + head * plan.kept + row).update(from: source, count: run.count)
          }
          for (plane, source) in [one.keys, one.values].enumerated() {
            let target = elements + ((plane * shape.kvHeads + head) * plan.kept + row) * shape.rowBytes
            target.copyMemory(from: source, byteCount: bytes)
          }
        }
      }
    }
  }

  /// The window's slabs as they are, under new keys.
  private func copyWindow(_ layer: Int) throws(StoreError) -> Bool {
    let plan = targetPlan.layers[layer]
    let old = stored(layer)
    for p in plan.window(source.tokens) {
      var slabs: [Sealed] = []
      for i in 0..<plan.shape.slabs(plan.rows(of: p, at: source.tokens)) {
        for group in 0..<plan.shape.groups {
          let buffer = try SlabBuffer(store.slabPool)
          let expected = old.window(p, i, group: group)
          try withSource { view throws(StoreError) in
            let value = try old.slab(expected, view, store.validated)
            buffer.value.copyMemory(from: value, byteCount: SlabShape.valueBytes)
          }
          var header = expected.header
          header.key.extent = target.rows.extent
          slabs.append(Self.seal(header, buffer))
        }
      }
      guard try write(slabs) else { return false }
    }
    return true
  }

  private typealias Sealed = (key: RowKey, buffer: SlabBuffer)

  private static func seal(_ header: SlabHeader, _ buffer: SlabBuffer) -> Sealed {
    header.seal(buffer.value)
    return (header.key, buffer)
  }

  /// A snapshot in which the session stands where it stood at the start.
  private func withSource(
    _ body: (borrowing ReadTransaction) throws(StoreError) -> Void
  ) throws(StoreError) {
    try store.environment.read { view throws(StoreError) in
      let now = try store.record(name, view)
      guard now.extent == source.extent, now.generation == source.generation else {
        throw StoreError(.moved, "the session was committed to meanwhile", session: name)
      }
      try body(view)
    }
  }

  /// - Returns: whether to go on.
  private func write(_ slabs: [Sealed]) throws(StoreError) -> Bool {
    var rest = slabs[...]
    while !rest.isEmpty {
      let part = rest.prefix(Self.step)
      rest = rest.dropFirst(part.count)
      try store.writer().submit(
        WriteJob(cost: WriteCost(slabs: part.count)) { transaction throws(StoreError) in
          for slab in part { try transaction.putSlab(slab.key, UnsafeRawPointer(slab.buffer.value)) }
        })
      if !goesOn() { return false }
    }
    return true
  }
}
