import LagKV
import Synchronization

extension StagedTail {
  /// Writes what is staged, all layers or none, and waits until it has landed.
  ///
  /// Commits of several sessions that come at the same time share one transaction; a bad one fails alone.
  /// - Parameters:
  ///   - tokenIDs: of the staged tokens, in order.
  ///   - keepWriting: go on as the session's writer, with an empty tail.
  /// - Returns: where the session stands.
  /// - Throws: `layersUneven`, `invalidArgument` where the ids are not as many as the staged tokens, `quotaExceeded`,
  ///   `diskFull`, `notBegun`. The tail is then as it was, and may be committed again or aborted.
  @discardableResult
  public func commit(tokenIDs: [UInt32], keepWriting: Bool = false) throws(StoreError) -> SessionState {
    try checkAlive()
    let name = session.configuration.name
    guard !isOverlay else {
      throw StoreError(.notBegun, "an overlay is never committed: begin a writer", session: name)
    }
    let tokens = layers[0].tokens
    if let layer = layers.firstIndex(where: { $0.tokens != tokens }) {
      throw StoreError(
        .layersUneven, "layer 0 stands at \(tokens) tokens, layer \(layer) at \(layers[layer].tokens)",
        session: name, layer: layer)
    }
    guard tokenIDs.count == tokens - base.tokens else {
      throw StoreError(
        .invalidArgument, "\(tokenIDs.count) token ids for \(tokens - base.tokens) staged tokens",
        session: name)
    }
    let writer = try session.store.writer()
    if tokenIDs.isEmpty {
      let state = try session.state()
      if !keepWriting { abort() }
      return state
    }
    let change = try CommitChange(self, tokens: tokens, tokenIDs: tokenIDs)
    try writer.submit(change.job)
    session.store.book.withLock { book in
      book.commits += 1
      book.committedTokens += tokenIDs.count
    }
    base = change.record
    layers = plan.layers.map { StagedLayer(base: base.tokens, plan: $0) }
    var state = try session.store.state(of: base)
    if !keepWriting {
      abort()
      state.hasWriter = false
    }
    return state
  }
}

/// What one commit changes in the store, ready to be written: made on the caller's thread, checksums included.
struct CommitChange {
  private(set) var record: SessionRecord
  /// In order of keys.
  private var puts: [(key: RowKey, buffer: SlabBuffer)] = []
  private var deletions: [RowKey] = []

  init(_ tail: StagedTail, tokens: Int, tokenIDs: [UInt32]) throws(StoreError) {
    let base = tail.base
    let store = tail.session.store
    record = base
    record.generation += 1
    record.tokens = tokens
    record.tokenHash = TokenHash.extend(base.tokenHash, with: tokenIDs)
    record.committed = store.options.clock()
    if base.tokens < record.configuration.retention.sinks { record.sinksGeneration = record.generation }
    let plans = tail.plan.layers
    if plans[0].scored(tokens) > plans[0].scored(base.tokens) { record.scoredGeneration = record.generation }

    for (layer, staged) in tail.layers.enumerated() {
      let plan = plans[layer]
      for kind in [RowKind.coldKept, .archive] where !staged.frames(kind).frames.isEmpty {
        let old = StoredLayer(record: base, plan: plan, layer: layer)
        var stream = FrameStream(kind: kind, layer: old, generation: record.generation, pool: store.slabPool)
        try tail.withBase { view, _ throws(StoreError) in
          try stream.load(view, store.validated)
        }
        for frame in staged.frames(kind).frames { try stream.append(frame) }
        for slab in stream.seal() { puts.append(slab) }
        if kind == .archive {
          record.archiveBytes[layer] = stream.bytes
        } else {
          record.coldBytes[layer] = stream.bytes
        }
      }
      addRows(layer, staged, plan, base)
    }
    puts.sort { $0.key < $1.key }
    deletions.sort()
  }

  private mutating func addRows(_ layer: Int, _ staged: StagedLayer, _ plan: LayerPlan, _ base: SessionRecord)
  {
    // What is sealed is what a reader of the new record will expect.
    let new = StoredLayer(record: record, plan: plan, layer: layer)
    let groups = plan.shape.groups
    for index in staged.kept.indices {
      for group in 0..<groups {
        guard let buffer = staged.kept[index, group] else { continue }
        add(new.kept(index, group: group), buffer)
      }
    }
    if let blocks = plan.blocks {
      for index in staged.blocks.indices {
        guard let buffer = staged.blocks[index, 0] else { continue }
        add(new.blocks(index, blocks), buffer)
      }
    }
    let perPartition = plan.slabsPerPartition
    for index in staged.window.indices {
      for group in 0..<groups {
        guard let buffer = staged.window[index, group] else { continue }
        add(new.window(index / perPartition, index % perPartition, group: group), buffer)
      }
    }
    let old = StoredLayer(record: base, plan: plan, layer: layer)
    for p in plan.window(base.tokens) where p < plan.scored(record.tokens) {
      for i in 0..<plan.shape.slabs(plan.rows(of: p, at: base.tokens)) {
        for group in 0..<groups { deletions.append(old.window(p, i, group: group).header.key) }
      }
    }
  }

  private mutating func add(_ expected: StoredLayer.Expectation, _ buffer: SlabBuffer) {
    var header = expected.header
    header.generation = record.generation
    header.seal(buffer.value)
    puts.append((header.key, buffer))
  }

  /// The work of the writer thread.
  var job: WriteJob {
    WriteJob(cost: WriteCost(slabs: puts.count, deletions: deletions.count, records: 1)) {
      transaction throws(StoreError) in
      let name = record.configuration.name
      let key = Array(name.utf8)
      guard let bytes = try transaction.view.get(.sessions, key) else {
        throw StoreError(.notFound, "the session was deleted", session: name)
      }
      let current = try SessionRecord.decode(bytes, key: key)
      guard current.extent == record.extent else {
        throw StoreError(.notFound, "the session was deleted", session: name)
      }
      guard current.generation + 1 == record.generation, current.rows == record.rows else {
        throw StoreError(.moved, "the session has moved under its writer", session: name)
      }
      do throws(StoreError) {
        for key in deletions { try transaction.deleteSlab(key) }
        for put in puts { try transaction.putSlab(put.key, UnsafeRawPointer(put.buffer.value)) }
        try transaction.put(.sessions, key, record.encoded())
      } catch { throw error.named(name) }
    }
  }
}
