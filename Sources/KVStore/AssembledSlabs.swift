/// Kept rows that come out of frames, put together into slabs like those of the raw codec: the blocks that attention sees,
/// and so its bits, are the same with both codecs.
struct AssembledSlabs {
  /// Index by index, group by group; with positions, without a header.
  private(set) var buffers: [SlabBuffer] = []
  private(set) var runs: [RowRun] = []

  /// - Parameter rows: of the kept stream, from a slab's first row on.
  init(
    _ rows: Range<Int>, _ source: LayerRows, _ view: borrowing ReadTransaction, pool: SlabPool
  ) throws(StoreError) {
    let shape = source.plan.shape
    let firstIndex = rows.lowerBound / shape.slots
    var views: [SlabView] = []
    for index in firstIndex..<firstIndex + shape.slabs(rows.count) {
      for group in 0..<shape.groups {
        let buffer = try SlabBuffer(pool)
        let view = SlabView(
          value: UnsafeRawPointer(buffer.value), shape: shape, heads: shape.heads(of: group))
        let head = view.heads.lowerBound
        runs.append(
          RowRun(
            first: index * shape.slots, count: min(shape.slots, rows.upperBound - index * shape.slots),
            heads: view.heads, keys: view.keys(head), values: view.values(head), headStride: shape.headStride)
        )
        buffers.append(buffer)
        views.append(view)
      }
    }
    let rowBytes = shape.rowBytes
    try source.forEachKeptRun(rows, view) { run throws(StoreError) in
      var row = run.first
      while row < run.first + run.count {
        let index = row / shape.slots
        let count = min(run.first + run.count, (index + 1) * shape.slots) - row
        for head in run.heads {
          let target = views[(index - firstIndex) * shape.groups + shape.group(of: head)]
          let source = (head - run.heads.lowerBound) * run.headStride + (row - run.first) * rowBytes
          let offset = (row - index * shape.slots) * rowBytes
          // The targets lie in buffers made above, which nobody else has.
          UnsafeMutableRawPointer(mutating: target.keys(head) + offset).copyMemory(
            from: run.keys + source, byteCount: count * rowBytes)
          UnsafeMutableRawPointer(mutating: target.values(head) + offset).copyMemory(
            from: run.values + source, byteCount: count * rowBytes)
          guard let positions = run.positions else { continue }
          UnsafeMutablePointer(mutating: target.positions(head) + row - index * shape.slots).update(
            from: positions + (head - run.heads.lowerBound) * run.positionStride + row - run.first,
            count: count)
        }
        row += count
      }
    }
  }
}
