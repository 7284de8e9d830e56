import Kernels
import LagKV
import SparseAttention

extension StagedTail {
  /// Appends rows to one layer, and scores the partitions that they complete.
  ///
  /// - Parameters:
  ///   - keys: `[tokens, kvHeads, headDim]`, after RoPE; any element type, rounded to the session's.
  ///   - values: the same shape.
  /// - Throws: `nonFinite` (after rounding), with layer, head, token and channel; `stagingFull` past the capacity,
  ///   `invalidArgument`, `moved`, `notFound`, `corrupt`, `notBegun`. The tail is then as it was.
  public func append(layer: Int, keys: TensorView, values: TensorView) throws(StoreError) {
    try checkAppend(layer, keys, values)
    try allOrNothing(layer) { () throws(StoreError) in
      let segments = plan.layers[layer].geometry.segments(
        from: layers[layer].tokens, count: keys.tokens)
      try write(layer, segments, keys, values)
      for segment in segments { try finish(segment, layer) }
    }
  }

  /// Appends rows to one layer and gives the LRSA attention of their queries: query `t` in partition `c` sees, causally, the
  /// sinks, the kept rows of partitions `c − 2` and before, partition `c − 1` whole and its own up to `t`. The result does not
  /// depend on how a document is cut into calls.
  ///
  /// - Parameters:
  ///   - queries: `[tokens, queryHeads, headDim]`, finite.
  ///   - out: f32, the queries' shape.
  ///   - logSumExp: f32 `[tokens, queryHeads]`.
  /// - Throws: what `append` and `attend` throw. The tail is then as it was; `out` may hold anything.
  public func step(
    layer: Int, queries: TensorView, keys: TensorView, values: TensorView, scale: Float? = nil,
    out: MutableTensorView, logSumExp: LogSumExpView
  ) throws(StoreError) {
    try checkAppend(layer, keys, values)
    guard queries.tokens == keys.tokens else {
      throw StoreError(
        .invalidArgument, "\(queries.tokens) queries for \(keys.tokens) keys",
        session: session.configuration.name)
    }
    let shape = try session.attentionShape(queries, scale, out.readOnly, logSumExp)
    try session.checkFinite(queries, layer: layer)
    try allOrNothing(layer) { () throws(StoreError) in
      let start = layers[layer].tokens
      let segments = plan.layers[layer].geometry.segments(from: start, count: keys.tokens)
      try write(layer, segments, keys, values)
      for segment in segments {
        let part = segment.positions.lowerBound - start..<segment.positions.upperBound - start
        let running = RunningAttention(
          AttentionAccumulator(
            shape: shape, queries: queries.slice(tokens: part),
            firstQueryPosition: segment.positions.lowerBound, pool: session.store.options.pool))
        try scan(plan.layers[layer].visible(segment), layer, running)
        running.accumulator.finish(
          out: out.slice(tokens: part), logSumExp: logSumExp.slice(tokens: part),
          pool: session.store.options.pool)
        try finish(segment, layer)
      }
    }
  }

  /// Runs `body`; if it throws, the layer is as it was before.
  private func allOrNothing(_ layer: Int, _ body: () throws(StoreError) -> Void) throws(StoreError) {
    let before = layers[layer]
    do throws(StoreError) {
      try body()
    } catch {
      layers[layer] = before
      decoder.forget()
      throw error
    }
  }

  private func checkAppend(_ layer: Int, _ keys: TensorView, _ values: TensorView) throws(StoreError) {
    try checkAlive()
    try session.checkLayer(layer)
    let c = session.configuration
    for (what, tensor) in [("keys", keys), ("values", values)]
    where tensor.heads != c.kvHeads || tensor.headDim != c.headDim || tensor.tokens != keys.tokens {
      throw StoreError(
        .invalidArgument,
        "\(what) are [\(tensor.tokens), \(tensor.heads), \(tensor.headDim)]; expected are"
          + " [\(keys.tokens), \(c.kvHeads), \(c.headDim)]", session: c.name, layer: layer)
    }
    let staged = layers[layer].tokens - base.tokens
    guard keys.tokens <= capacity - staged else {
      throw StoreError(
        .stagingFull,
        "\(staged) tokens are staged and \(keys.tokens) more would pass the capacity of \(capacity): commit first",
        session: c.name, layer: layer)
    }
    guard layers[layer].tokens + keys.tokens <= Int(UInt32.max) else {
      throw StoreError(
        .tooLarge, "a session holds at most \(UInt32.max) tokens", session: c.name, layer: layer)
    }
  }
}

// MARK: - Writing rows

extension StagedTail {
  /// Rounds the rows into slabs behind the layer's rows and checks them there. Does not count them yet: `finish` does.
  private func write(
    _ layer: Int, _ segments: [TokenGeometry.Segment], _ keys: TensorView, _ values: TensorView
  ) throws(StoreError) {
    let plan = plan.layers[layer]
    let slots = plan.shape.slots
    let start = layers[layer].tokens
    for segment in segments {
      var position = segment.positions.lowerBound
      while position < segment.positions.upperBound {
        let count: Int
        let slot: Int
        var buffers: [SlabBuffer]
        switch segment {
        case .sinks:
          slot = position % slots
          count = min(slots - slot, segment.positions.upperBound - position)
          buffers = try keptSlabs(position / slots, layer)
        case .partition(let p, _, _):
          let (i, inSlab) = (position - plan.partitionStart(p)).quotientAndRemainder(dividingBy: slots)
          slot = inSlab
          count = min(slots - slot, segment.positions.upperBound - position)
          buffers = try windowSlabs(p, i, layer)
        }
        let isSink = position < plan.sinks
        for (group, buffer) in buffers.enumerated() {
          let heads = plan.shape.heads(of: group)
          if isSink {
            for head in 0..<heads.count {
              for i in 0..<count {
                let offset = SlabShape.fixedHeaderBytes + (head * slots + slot + i) * 4
                buffer.value.storeBytes(of: UInt32(position + i), toByteOffset: offset, as: UInt32.self)
              }
            }
          }
          let rows = position - start..<position - start + count
          for plane in 0..<2 {
            try convert(
              plane == 0 ? keys : values, rows, heads, to: buffer, slot: slot, plane: plane, layer: layer,
              position: position)
          }
        }
        position += count
      }
    }
  }

  /// Converts rows of one slab's heads into their slots and checks that they are finite.
  private func convert(
    _ source: TensorView, _ rows: Range<Int>, _ heads: Range<Int>, to buffer: SlabBuffer, slot: Int,
    plane: Int, layer: Int, position: Int
  ) throws(StoreError) {
    let shape = plan.shape
    let type = session.configuration.elementType.rawValue
    for head in heads {
      let target =
        buffer.value + SlabShape.headerBytes
        + (plane * heads.count + head - heads.lowerBound) * shape.headStride + slot * shape.rowBytes
      if source.tokenStride == source.headDim {
        lagoon_convert(
          source.row(token: rows.lowerBound, head: head), source.elementType.rawValue, target, type,
          rows.count * shape.headDim)
      } else {
        for (i, row) in rows.enumerated() {
          lagoon_convert(
            source.row(token: row, head: head), source.elementType.rawValue, target + i * shape.rowBytes,
            type, shape.headDim)
        }
      }
      let bad = lagoon_first_nonfinite(target, type, rows.count * shape.headDim)
      if bad >= 0 {
        let (row, channel) = bad.quotientAndRemainder(dividingBy: shape.headDim)
        throw StoreError(
          .nonFinite,
          "the \(plane == 0 ? "keys" : "values") hold NaN or infinity, after rounding to"
            + " \(session.configuration.elementType.name)",
          session: session.configuration.name, layer: layer, head: head, token: position + row,
          channel: channel)
      }
    }
  }

  /// The staged slabs of a kept index, made (and copied from the store, where its first rows are there) when first needed.
  func keptSlabs(_ index: Int, _ layer: Int) throws(StoreError) -> [SlabBuffer] {
    let plan = plan.layers[layer]
    let baseRows = plan.keptSlabRows(base.tokens)
    return try slabs(index, layer, \.kept, copy: index * plan.shape.slots < baseRows) {
      rows, group, view throws(StoreError) in
      try rows.keptSlab(index, group: group, view).value
    }
  }

  private func windowSlabs(_ p: Int, _ i: Int, _ layer: Int) throws(StoreError) -> [SlabBuffer] {
    let plan = plan.layers[layer]
    let copy = plan.partitionStart(p) + i * plan.shape.slots < base.tokens
    return try slabs(plan.windowIndex(p, i), layer, \.window, copy: copy) {
      rows, group, view throws(StoreError) in
      try rows.windowSlab(p, i, group: group, view).value
    }
  }

  /// The staged slab of blocks `index`.
  func blockSlab(_ index: Int, _ blocks: BlockShape, _ layer: Int) throws(StoreError) -> SlabBuffer {
    let plan = plan.layers[layer]
    let copy = index * blocks.perSlab < plan.scored(base.tokens) * blocks.perPartition
    return try slabs(index, layer, \.blocks, copy: copy) { rows, _, view throws(StoreError) in
      try rows.stored.slab(rows.stored.blocks(index, blocks), view, rows.validated)
    }[0]
  }

  private func slabs(
    _ index: Int, _ layer: Int, _ stream: WritableKeyPath<StagedLayer, StagedSlabs>, copy: Bool,
    _ stored: (LayerRows, Int, borrowing ReadTransaction) throws(StoreError) -> UnsafeRawPointer
  ) throws(StoreError) -> [SlabBuffer] {
    let groups = layers[layer][keyPath: stream].groups
    var found: [SlabBuffer] = []
    for group in 0..<groups {
      if let buffer = layers[layer][keyPath: stream][index, group] { found.append(buffer) }
    }
    if found.count == groups { return found }
    var made: [SlabBuffer] = []
    for _ in 0..<groups { made.append(try SlabBuffer(session.store.slabPool)) }
    if copy {
      try withBase { view, record throws(StoreError) in
        let rows = rows(layer, record)
        for group in 0..<groups {
          made[group].value.copyMemory(from: try stored(rows, group, view), byteCount: SlabShape.valueBytes)
        }
      }
    }
    layers[layer][keyPath: stream].append(index, made)
    return made
  }
}
