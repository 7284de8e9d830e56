import Kernels
import LagKV
import SparseAttention

extension StagedTail {
  /// Counts a segment's rows; where it completes a partition, scores the one before it and moves its selected rows to the kept
  /// stream.
  func finish(_ segment: TokenGeometry.Segment, _ layer: Int) throws(StoreError) {
    if case .partition(let p, _, completes: true) = segment, p > 0 {
      try compress(p - 1, layer)
      layers[layer].tokens = segment.positions.upperBound
      layers[layer].window.removeAll(below: plan.layers[layer].windowIndex(p, 0))
    } else {
      layers[layer].tokens = segment.positions.upperBound
    }
  }

  /// Scores partition `p` against the next one and keeps what was selected; archives it whole.
  private func compress(_ p: Int, _ layer: Int) throws(StoreError) {
    let plan = plan.layers[layer]
    guard plan.kept > 0 || plan.archive else { return }
    var selection: [[UInt32]] = []
    // Slabs of the kept stream that will be written: made before the snapshot, since making them may need one.
    let firstRow = plan.sinks + plan.kept * p
    if plan.kept > 0, plan.codec == .raw {
      let slots = plan.shape.slots
      for index in firstRow / slots...(firstRow + plan.kept - 1) / slots { _ = try keptSlabs(index, layer) }
    }
    if let blocks = plan.blocks {
      let end = (p + 1) * blocks.perPartition
      for index in p * blocks.perPartition / blocks.perSlab...(end - 1) / blocks.perSlab {
        _ = try blockSlab(index, blocks, layer)
      }
    }
    try withBase { view, record throws(StoreError) in
      let rows = rows(layer, record)
      let partition = try rows.windowRuns(p, rows: plan.lag, view)
      if plan.kept > 0 {
        let reference = try rows.windowRuns(p + 1, rows: plan.lag, view)
        selection = select(p, layer, partition, reference)
        if plan.codec == .raw {
          gather(partition, selection, from: p, to: firstRow, layer)
        } else if let blocks = plan.blocks {
          pack(partition, selection, from: p, blocks, layer)
        } else {
          layers[layer].cold.frames.append(try frame(partition, selection, from: p, plan))
        }
      }
      if plan.archive {
        let all = Array(0..<UInt32(plan.lag))
        let everything = [[UInt32]](repeating: all, count: plan.shape.kvHeads)
        layers[layer].archive.frames.append(try frame(partition, everything, from: p, plan))
      }
    }
  }

  /// The rows to keep of each head, relative to the partition's start, ascending.
  private func select(
    _ p: Int, _ layer: Int, _ partition: [RowRun], _ reference: [RowRun]
  ) -> [[UInt32]] {
    let plan = plan.layers[layer]
    if plan.kept == plan.lag {
      return [[UInt32]](repeating: Array(0..<UInt32(plan.lag)), count: plan.shape.kvHeads)
    }
    func blocks(_ runs: [RowRun], _ head: Int) -> [RowBlock] {
      runs.filter { $0.heads.contains(head) }.map { run in
        let offset = (head - run.heads.lowerBound) * run.headStride
        return RowBlock(keys: run.keys + offset, values: run.values + offset, count: run.count)
      }
    }
    var leading = blocks(reference, 0)
    return (0..<plan.shape.kvHeads).map { head in
      let following = head + 1 < plan.shape.kvHeads ? blocks(reference, head + 1) : []
      let place = PartitionPlace(
        layer: layer, head: head, partition: p, lag: plan.lag, headDim: plan.shape.headDim,
        elementType: session.configuration.elementType)
      let selected = session.policy.select(
        keep: plan.kept, partition: blocks(partition, head), reference: leading, following: following,
        at: place)
      leading = following
      precondition(selected.count == plan.kept, "a policy selects as many rows as it was asked for")
      return selected
    }
  }

  /// Copies the selected rows of a partition to rows `firstRow...` of the kept stream, whose slabs are staged.
  private func gather(
    _ partition: [RowRun], _ selection: [[UInt32]], from p: Int, to firstRow: Int, _ layer: Int
  ) {
    let plan = plan.layers[layer]
    let shape = plan.shape
    let start = plan.partitionStart(p)
    for head in 0..<shape.kvHeads {
      let group = shape.group(of: head)
      let heads = shape.heads(of: group)
      forEachPiece(selection[head], head, partition, start, to: firstRow, slots: shape.slots) { piece in
        guard let buffer = layers[layer].kept[piece.target / shape.slots, group] else { return }
        let slot = piece.target % shape.slots
        let table = SlabShape.fixedHeaderBytes + ((head - heads.lowerBound) * shape.slots + slot) * 4
        for (i, row) in piece.rows.enumerated() {
          buffer.value.storeBytes(of: UInt32(start) + row, toByteOffset: table + i * 4, as: UInt32.self)
        }
        let keys =
          buffer.value + SlabShape.headerBytes + (head - heads.lowerBound) * shape.headStride
          + slot * shape.rowBytes
        piece.gather(shape.rowBytes, keys: keys, values: keys + heads.count * shape.headStride)
      }
    }
  }

  /// Packs the selected rows of a partition into its blocks, whose slabs are staged.
  private func pack(
    _ partition: [RowRun], _ selection: [[UInt32]], from p: Int, _ blocks: BlockShape, _ layer: Int
  ) {
    let plan = plan.layers[layer]
    let rowBytes = plan.shape.rowBytes
    var memory = ScratchMemory()
    guard let gathered = memory.take(2 * plan.kept * rowBytes).baseAddress else { return }
    let values = gathered + plan.kept * rowBytes
    for head in 0..<plan.shape.kvHeads {
      forEachPiece(selection[head], head, partition, plan.partitionStart(p), to: 0, slots: .max) { piece in
        let offset = piece.target * rowBytes
        piece.gather(rowBytes, keys: gathered + offset, values: values + offset)
      }
      for part in 0..<blocks.parts {
        let number = p * blocks.perPartition + part * blocks.kvHeads + head
        let block = blocks.block(number)
        guard let slab = layers[layer].blocks[number / blocks.perSlab, 0] else { return }
        let target = slab.value + SlabShape.headerBytes + number % blocks.perSlab * blocks.bytes
        target.initializeMemory(as: UInt8.self, repeating: 0, count: blocks.bytes)
        for i in 0..<block.rows {
          let position = UInt32(plan.partitionStart(p)) + selection[head][block.firstRow + i]
          target.storeBytes(of: position, toByteOffset: 4 * i, as: UInt32.self)
        }
        EightBitBlock.pack(
          keys: gathered + block.firstRow * rowBytes, values: values + block.firstRow * rowBytes,
          elementType: session.configuration.elementType, rows: block.rows, headDim: blocks.headDim,
          to: target + 4 * block.rows)
      }
    }
  }

  /// One compressed frame of the selected rows of a partition.
  private func frame(
    _ partition: [RowRun], _ selection: [[UInt32]], from p: Int, _ plan: LayerPlan
  ) throws(StoreError) -> [UInt8] {
    let shape = plan.shape
    let rows = selection[0].count
    let start = plan.partitionStart(p)
    return try encoder.frame(shape, rows: rows) { positions, elements in
      for head in 0..<shape.kvHeads {
        for (i, row) in selection[head].enumerated() { positions[head * rows + i] = UInt32(start) + row }
        forEachPiece(selection[head], head, partition, start, to: 0, slots: .max) { piece in
          let keys = elements + (head * rows + piece.target) * shape.rowBytes
          piece.gather(shape.rowBytes, keys: keys, values: keys + shape.kvHeads * rows * shape.rowBytes)
        }
      }
    }
  }

  /// Cuts ascending selected rows where a run ends or a slab of `slots` rows is full.
  ///
  /// - Parameter firstRow: where the first selected row goes.
  private func forEachPiece(
    _ selected: [UInt32], _ head: Int, _ partition: [RowRun], _ start: Int, to firstRow: Int, slots: Int,
    _ body: (SelectedPiece) -> Void
  ) {
    selected.withUnsafeBufferPointer { selected in
      var next = 0
      for run in partition where run.heads.contains(head) {
        let first = UInt32(run.first - start)
        let end = first + UInt32(run.count)
        let offset = (head - run.heads.lowerBound) * run.headStride
        while next < selected.count, selected[next] < end {
          let target = firstRow + next
          let most = min(selected.count - next, slots - target % slots)
          var count = 1
          while count < most, selected[next + count] < end { count += 1 }
          body(
            SelectedPiece(
              keys: run.keys + offset, values: run.values + offset, first: first,
              rows: UnsafeBufferPointer(rebasing: selected[next..<next + count]), target: target))
          next += count
        }
      }
    }
  }
}

/// Selected rows of one head that lie in one run and go to one slab.
private struct SelectedPiece {
  /// The head's rows in the run.
  let keys: UnsafeRawPointer
  let values: UnsafeRawPointer
  /// Where the run starts, relative to the partition's start.
  let first: UInt32
  /// Relative to the partition's start, ascending.
  let rows: UnsafeBufferPointer<UInt32>
  /// Where the first of them goes.
  let target: Int

  func gather(_ rowBytes: Int, keys: UnsafeMutableRawPointer, values: UnsafeMutableRawPointer) {
    lagoon_gather_rows(self.keys, rowBytes, rows.baseAddress, rows.count, first, keys)
    lagoon_gather_rows(self.values, rowBytes, rows.baseAddress, rows.count, first, values)
  }
}
