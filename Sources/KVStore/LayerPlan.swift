import LagKV

/// Which slabs one layer has at a token count: closed forms of the token count alone, so nothing of it is stored.
struct LayerPlan: Sendable, Hashable {
  let shape: SlabShape
  let geometry: TokenGeometry
  let sinks: Int
  let lag: Int
  /// Rows kept of a partition.
  let kept: Int
  let codec: Codec
  let archive: Bool
  /// Of the kept rows, where they are in blocks.
  let blocks: BlockShape?

  init(_ configuration: SessionConfiguration, codec: Codec, layer: Int, shape: SlabShape) {
    self.shape = shape
    geometry = configuration.retention.geometry(layer: layer)
    sinks = configuration.retention.sinks
    lag = configuration.retention.lag
    kept = configuration.retention.keptPerPartition(layer: layer)
    self.codec = codec
    archive = configuration.archive
    blocks =
      codec == .q8 && kept > 0
      ? BlockShape(kvHeads: configuration.kvHeads, headDim: configuration.headDim, kept: kept) : nil
  }

  /// Partitions that have been scored, so have left the window, at `tokens` tokens.
  func scored(_ tokens: Int) -> Int { max(0, max(0, tokens - sinks) / lag - 1) }

  /// Rows of the kept stream: sinks and selected rows.
  func keptRows(_ tokens: Int) -> Int { min(sinks, tokens) + kept * scored(tokens) }

  /// Rows of the kept stream that lie in kept slabs: all with the raw codec, else the sinks alone.
  func keptSlabRows(_ tokens: Int) -> Int { codec == .raw ? keptRows(tokens) : min(sinks, tokens) }

  /// Rows that are in the kept stream as frames.
  var hasColdFrames: Bool { codec == .zstd && kept > 0 }

  func windowRows(_ tokens: Int) -> Int { max(0, tokens - sinks) - scored(tokens) * lag }
  func totalRows(_ tokens: Int) -> Int { keptRows(tokens) + windowRows(tokens) }

  /// The partitions of the window: the last complete one and the partial one after it.
  func window(_ tokens: Int) -> Range<Int> {
    scored(tokens)..<(max(0, tokens - sinks) + lag - 1) / lag
  }

  /// Rows that partition `p` has at `tokens` tokens.
  func rows(of p: Int, at tokens: Int) -> Int { min(lag, max(0, tokens - partitionStart(p))) }

  /// Absolute position of partition `p`'s first token.
  func partitionStart(_ p: Int) -> Int { sinks + p * lag }

  /// Slabs (of each group) that a whole partition takes; window slab indices count by it.
  var slabsPerPartition: Int { shape.slabs(lag) }
  func windowIndex(_ p: Int, _ i: Int) -> Int { p * slabsPerPartition + i }

  /// Slabs of all groups at `tokens` tokens, the streams of frames not counted.
  func rowSlabs(_ tokens: Int) -> Int {
    var slabs = shape.slabs(keptSlabRows(tokens))
    for p in window(tokens) { slabs += shape.slabs(rows(of: p, at: tokens)) }
    return slabs * shape.groups + (blocks?.slabs(partitions: scored(tokens)) ?? 0)
  }

  static func streamSlabs(_ bytes: Int) -> Int {
    (bytes + SlabShape.rowAreaBytes - 1) / SlabShape.rowAreaBytes
  }
}

/// A session's layers, with their kept rows in one codec.
struct SessionPlan: Sendable {
  let shape: SlabShape
  let layers: [LayerPlan]

  /// - Parameter codec: of the kept rows; nil: the configuration's.
  init(_ configuration: SessionConfiguration, codec: Codec? = nil) throws(StoreError) {
    let shape = try SlabShape(
      kvHeads: configuration.kvHeads, headDim: configuration.headDim,
      elementBytes: configuration.elementType.byteCount)
    self.shape = shape
    let codec = codec ?? configuration.codec
    layers = (0..<configuration.layers).map {
      LayerPlan(configuration, codec: codec, layer: $0, shape: shape)
    }
  }

  /// As the record's rows are now.
  init(_ record: SessionRecord) throws(StoreError) {
    try self.init(record.configuration, codec: record.rows.codec)
  }

  /// Slabs of one layer.
  func slabs(_ layer: Int, of record: SessionRecord) -> Int {
    layers[layer].rowSlabs(record.tokens)
      + (record.coldBytes.isEmpty ? 0 : LayerPlan.streamSlabs(record.coldBytes[layer]))
      + (record.archiveBytes.isEmpty ? 0 : LayerPlan.streamSlabs(record.archiveBytes[layer]))
  }

  /// Slabs of all layers.
  func slabs(of record: SessionRecord) -> Int {
    layers.indices.reduce(0) { $0 + slabs($1, of: record) }
  }
}
