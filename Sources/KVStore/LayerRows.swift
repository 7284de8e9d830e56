import LagKV
import SparseAttention

/// Rows of some heads that lie together: row `i` of head `h` is at `(h - heads.lowerBound) * headStride + i * rowBytes` from
/// `keys` and `values`. Valid as long as the snapshot (or the staged slabs) that it was made from.
struct RowRun {
  /// Row of the kept stream, or absolute position of a window row.
  var first: Int
  var count: Int
  var heads: Range<Int>
  var keys: UnsafeRawPointer
  var values: UnsafeRawPointer
  /// Bytes.
  var headStride: Int
  /// Positions of head `heads.lowerBound`; nil in the window, where row `i` stands at `first + i`.
  var positions: UnsafePointer<UInt32>?
  /// Elements.
  var positionStride = 0

  func block(_ type: ElementType, causal: Bool) -> KeyValueBlock {
    KeyValueBlock(
      keys: keys, values: values, heads: heads, headStrideBytes: headStride, rows: count, elementType: type,
      firstPosition: causal ? first : nil)
  }

  /// The rows of one of its heads.
  func head(_ head: Int) -> RowRun {
    var run = self
    let index = head - heads.lowerBound
    run.heads = head..<head + 1
    run.keys += index * headStride
    run.values += index * headStride
    run.positions = positions.map { $0 + index * positionStride }
    return run
  }

  /// The run without its first `n` rows, and no more than `limit`.
  func dropping(_ n: Int, limit: Int, rowBytes: Int) -> RowRun {
    var run = self
    run.first += n
    run.count = min(limit, count - n)
    run.keys += n * rowBytes
    run.values += n * rowBytes
    run.positions = positions.map { $0 + n }
    return run
  }
}

/// The rows of one layer: staged ones before committed ones.
struct LayerRows {
  let stored: StoredLayer
  let staged: StagedLayer?
  let validated: ValidatedSlabs
  let decoder: FrameDecoder

  var plan: LayerPlan { stored.plan }
  private var shape: SlabShape { plan.shape }

  /// Slab `index` of the kept stream.
  func keptSlab(_ index: Int, group: Int, _ view: borrowing ReadTransaction) throws(StoreError) -> SlabView {
    let heads = shape.heads(of: group)
    if let buffer = staged?.kept[index, group] {
      return SlabView(value: UnsafeRawPointer(buffer.value), shape: shape, heads: heads)
    }
    let value = try stored.slab(stored.kept(index, group: group), view, validated)
    return SlabView(value: value, shape: shape, heads: heads)
  }

  /// Slab `i` of partition `p` of the window.
  ///
  /// - Parameter known: where it lies, if that is known.
  func windowSlab(
    _ p: Int, _ i: Int, group: Int, known: UnsafeRawPointer? = nil, _ view: borrowing ReadTransaction
  ) throws(StoreError) -> SlabView {
    let heads = shape.heads(of: group)
    if let buffer = staged?.window[plan.windowIndex(p, i), group] {
      return SlabView(value: UnsafeRawPointer(buffer.value), shape: shape, heads: heads)
    }
    let value =
      if let known { known } else { try stored.slab(stored.window(p, i, group: group), view, validated) }
    return SlabView(value: value, shape: shape, heads: heads)
  }

  /// The first `rows` rows of partition `p`, slab by slab, group by group. One that has left the window comes out of the
  /// archive, cut as it was in the window, and its runs are valid until the next frame is decoded.
  func windowRuns(
    _ p: Int, rows: Int, _ view: borrowing ReadTransaction
  ) throws(StoreError) -> [RowRun] {
    if staged == nil, p < plan.scored(stored.record.tokens) {
      guard plan.archive else {
        throw StoreError(
          .moved, "partition \(p) has left the window meanwhile, and the session keeps no archive",
          session: stored.record.configuration.name, layer: stored.layer, partition: p)
      }
      return try archivedRuns(p, rows: rows, view)
    }
    var runs: [RowRun] = []
    runs.reserveCapacity(shape.slabs(rows) * shape.groups)
    let known = windowPlaces(p, rows: rows)
    for i in 0..<shape.slabs(rows) {
      for group in 0..<shape.groups {
        let slab = try windowSlab(p, i, group: group, known: known[group][plan.windowIndex(p, i)], view)
        runs.append(
          RowRun(
            first: plan.partitionStart(p) + i * shape.slots, count: min(shape.slots, rows - i * shape.slots),
            heads: slab.heads, keys: slab.keys(slab.heads.lowerBound),
            values: slab.values(slab.heads.lowerBound), headStride: shape.headStride))
      }
    }
    return runs
  }

  private func archivedRuns(
    _ p: Int, rows: Int, _ view: borrowing ReadTransaction
  ) throws(StoreError) -> [RowRun] {
    let frame = try decoder.frame(.archive, p, rows: plan.lag, self, view).run(first: plan.partitionStart(p))
    var runs: [RowRun] = []
    for i in 0..<shape.slabs(rows) {
      for group in 0..<shape.groups {
        let heads = shape.heads(of: group)
        let start = i * shape.slots
        var run = frame.dropping(start, limit: min(shape.slots, rows - start), rowBytes: shape.rowBytes)
        run.heads = heads
        run.keys += heads.lowerBound * run.headStride
        run.values += heads.lowerBound * run.headStride
        runs.append(run)
      }
    }
    return runs
  }

  /// What is known of where the slabs `indices` of a stream lie.
  ///
  /// - Parameter final: slabs of the stream that no later commit changes.
  private func places(_ kind: RowKind, group: Int, _ indices: Range<Int>, final: Int) -> KnownPlaces {
    let stream = ValidatedSlabs.Stream(
      extent: stored.record.rows.extent, kind: kind, layer: stored.layer, group: group)
    return validated.places(of: stream, indices.clamped(to: 0..<max(final, 0)))
  }

  /// What is known, for each group, of where the slabs of partition `p` of the window lie.
  private func windowPlaces(_ p: Int, rows: Int) -> [KnownPlaces] {
    let stored = plan.rows(of: p, at: self.stored.record.tokens)
    let final = stored == plan.lag ? plan.slabsPerPartition : stored / shape.slots
    let start = plan.windowIndex(p, 0)
    return (0..<shape.groups).map {
      places(.window, group: $0, start..<start + shape.slabs(rows), final: start + final)
    }
  }

  /// Blocks of 8-bit rows, by their numbers.
  func blockPlaces(
    _ numbers: Range<Int>, _ blocks: BlockShape, _ view: borrowing ReadTransaction
  ) throws(StoreError) -> [BlockPlace] {
    var places: [BlockPlace] = []
    places.reserveCapacity(numbers.count)
    let start = numbers.lowerBound / blocks.perSlab
    let final = plan.scored(stored.record.tokens) * blocks.perPartition / blocks.perSlab
    let end = (numbers.upperBound + blocks.perSlab - 1) / blocks.perSlab
    let known = self.places(.blocks, group: 0, start..<max(start, end), final: final)
    var number = numbers.lowerBound
    while number < numbers.upperBound {
      let (index, first) = number.quotientAndRemainder(dividingBy: blocks.perSlab)
      let slab = try blockSlab(index, blocks, known: known[index], view)
      for i in first..<min(blocks.perSlab, first + numbers.upperBound - number) {
        places.append(blocks.place(i, of: slab, blocks.block(number)))
        number += 1
      }
    }
    return places
  }

  private func blockSlab(
    _ index: Int, _ blocks: BlockShape, known: UnsafeRawPointer?, _ view: borrowing ReadTransaction
  ) throws(StoreError) -> UnsafeRawPointer {
    if let buffer = staged?.blocks[index, 0] { return UnsafeRawPointer(buffer.value) }
    if let known { return known }
    return try stored.slab(stored.blocks(index, blocks), view, validated)
  }

  /// Rows of the kept stream that lie in kept slabs.
  func keptSlabRuns(
    _ rows: Range<Int>, _ view: borrowing ReadTransaction
  ) throws(StoreError) -> [RowRun] {
    // What is the same for all slabs is looked up once.
    let shape = self.shape
    let heads = (0..<shape.groups).map(shape.heads(of:))
    let staged = self.staged?.kept.indices ?? 0..<0
    var runs: [RowRun] = []
    runs.reserveCapacity((shape.slabs(rows.count) + 1) * shape.groups)
    let start = rows.lowerBound / shape.slots
    let final = plan.keptSlabRows(stored.record.tokens) / shape.slots
    let known = (0..<shape.groups).map {
      places(.kept, group: $0, start..<max(start, shape.slabs(rows.upperBound)), final: final)
    }
    var row = rows.lowerBound
    while row < rows.upperBound {
      let index = row / shape.slots
      let end = min(rows.upperBound, (index + 1) * shape.slots)
      for group in 0..<shape.groups {
        let slab: SlabView
        if let place = known[group][index], !staged.contains(index) {
          slab = SlabView(value: place, shape: shape, heads: heads[group])
        } else {
          slab = try keptSlab(index, group: group, view)
        }
        let head = slab.heads.lowerBound
        let whole = RowRun(
          first: index * shape.slots, count: end - index * shape.slots, heads: slab.heads,
          keys: slab.keys(head), values: slab.values(head), headStride: shape.headStride,
          positions: slab.positions(head), positionStride: shape.slots)
        runs.append(whole.dropping(row - whole.first, limit: end - row, rowBytes: shape.rowBytes))
      }
      row = end
    }
    return runs
  }

  /// Calls `body` with runs that cover the rows of the kept stream, in order (for one range of rows, group by group). A run
  /// is valid until the next call.
  func forEachKeptRun(
    _ rows: Range<Int>, _ view: borrowing ReadTransaction, _ body: (RowRun) throws(StoreError) -> Void
  ) throws(StoreError) {
    guard plan.hasColdFrames || plan.blocks != nil else {
      for run in try keptSlabRuns(rows, view) { try body(run) }
      return
    }
    let sinks = rows.clamped(to: 0..<plan.sinks)
    for run in try keptSlabRuns(sinks, view) { try body(run) }
    var row = max(rows.lowerBound, plan.sinks)
    while row < rows.upperBound {
      let (number, offset) = (row - plan.sinks).quotientAndRemainder(dividingBy: plan.kept)
      let frame =
        if let blocks = plan.blocks {
          try decoder.unpack(number, blocks, self, view)
        } else {
          try decoder.frame(.coldKept, number, rows: plan.kept, self, view)
        }
      let count = min(plan.kept - offset, rows.upperBound - row)
      try body(frame.run(first: row - offset).dropping(offset, limit: count, rowBytes: shape.rowBytes))
      row += count
    }
  }
}
