import LagKV
import SparseAttention

/// Where rows of a layer are.
enum RowPlace {
  /// In the kept stream: a run's `first` is a row of it.
  case kept
  /// In a partition: a run's `first` is an absolute position.
  case partition(Int)
}

/// What one pass over the visible rows does with them; its snapshots share it.
protocol RowVisitor: AnyObject {
  /// - Parameter runs: of one place, valid until `flush` has returned.
  func add(_ runs: [RowRun], of place: RowPlace, _ type: ElementType, causal: Bool, pool: WorkerPool?)
  /// Kept rows in blocks of 8 bits, which only sessions without an archive have.
  func add(_ blocks: [EightBitBlock], pool: WorkerPool?)
  /// What was added is about to go.
  func flush(pool: WorkerPool?)
  /// Slabs of the kept stream that one snapshot shows, about.
  var slabsPerSnapshot: Int { get }
}

extension RowVisitor {
  func flush(pool: WorkerPool?) {}
  /// 35 MB, which many queries take some hundred milliseconds for.
  var slabsPerSnapshot: Int { 512 }
}

/// Attention, forward. The rows of a snapshot are attended to together, so that the threads of the pool share all of them.
final class RunningAttention: RowVisitor {
  var accumulator: AttentionAccumulator
  private var waiting: [[KeyValueBlock]] = []

  init(_ accumulator: consuming AttentionAccumulator) { self.accumulator = accumulator }

  /// Few queries read 280 MB in some ten milliseconds, and threads that are called for less of it begin late each time.
  var slabsPerSnapshot: Int { accumulator.hasFewQueries ? 4096 : 512 }

  func add(_ runs: [RowRun], of place: RowPlace, _ type: ElementType, causal: Bool, pool: WorkerPool?) {
    waiting.append(runs.map { $0.block(type, causal: causal) })
  }

  func add(_ blocks: [EightBitBlock], pool: WorkerPool?) {
    flush(pool: pool)
    accumulator.add(blocks, pool: pool)
  }

  func flush(pool: WorkerPool?) {
    if !waiting.isEmpty { accumulator.add(waiting, pool: pool) }
    waiting.removeAll(keepingCapacity: true)
  }
}

extension Session {
  /// Shows the visible rows to `visitor`: the window first (it may be gone in a later snapshot), then the kept stream
  /// from its start, in blocks that depend on the token count alone. The kept stream only grows, and its full slabs and
  /// frames never change, so later snapshots may go on with it, also where the rows were recoded between them.
  ///
  /// - Parameters:
  ///   - visible: nil: everything that is there in the first snapshot.
  ///   - tail: the staged tail whose rows come on top and whose base the session must stand at; nil: committed rows.
  ///   - ifTokens: `moved` unless the first snapshot has this token count.
  /// - Returns: the first snapshot's token count.
  func scan(
    _ given: VisibleRows?, layer: Int, tail: StagedTail? = nil, decoder: FrameDecoder, ifTokens: Int? = nil,
    into visitor: some RowVisitor
  ) throws(StoreError) -> Int {
    use.note(store.options.clock())
    var scanned = Scanned(rows: given, tokens: 0, plan: plan.layers[layer], next: 0)
    var index = 0
    repeat {
      let isFirst = index == 0
      let known = scanned.rows
      let seen: Scanned = try store.environment.read { view throws(StoreError) in
        let record = try self.record(view, tail, ifTokens: isFirst ? ifTokens : nil)
        let plan = self.plan(of: record).layers[layer]
        let next = index + plan.scannedIndices(visitor.slabsPerSnapshot)
        let rows = LayerRows(
          stored: StoredLayer(record: record, plan: plan, layer: layer), staged: tail?.layers[layer],
          validated: store.validated, decoder: decoder)
        var now = VisibleRows.all(plan, tokens: record.tokens)
        if let known { now = known }
        if isFirst { try addWindow(now, rows, view, visitor) }
        try addKept(now, index..<next, rows, view, visitor)
        visitor.flush(pool: store.options.pool)
        return Scanned(
          rows: now, tokens: isFirst ? record.tokens : scanned.tokens, plan: plan, next: next)
      }
      scanned = seen
      index = seen.next
    } while index < scanned.plan.keptIndices(scanned.rows?.kept ?? 0)
    return scanned.tokens
  }

  /// What the first snapshot of a pass settled, and how far the last one came.
  private struct Scanned {
    var rows: VisibleRows?
    var tokens: Int
    var plan: LayerPlan
    /// Index of the kept stream with which the next snapshot begins.
    var next: Int
  }

  private func addWindow(
    _ visible: VisibleRows, _ rows: LayerRows, _ view: borrowing ReadTransaction, _ visitor: some RowVisitor
  ) throws(StoreError) {
    for part in visible.window {
      let runs = try rows.windowRuns(part.partition, rows: part.rows, view)
      visitor.add(
        runs, of: .partition(part.partition), configuration.elementType, causal: part.isCausal,
        pool: store.options.pool)
      // Rows that come out of an archive are valid until the next partition's.
      if rows.plan.archive { visitor.flush(pool: store.options.pool) }
    }
  }

  /// - Parameter indices: as ``LayerPlan/scannedIndices(_:)`` counts them.
  private func addKept(
    _ visible: VisibleRows, _ indices: Range<Int>, _ rows: LayerRows, _ view: borrowing ReadTransaction,
    _ visitor: some RowVisitor
  ) throws(StoreError) {
    let slots = rows.plan.shape.slots
    let type = configuration.elementType
    let pool = store.options.pool
    if let blocks = rows.plan.blocks {
      let sinks = min(visible.kept, rows.plan.sinks)
      if indices.lowerBound == 0 {
        visitor.add(
          try rows.keptSlabRuns(0..<sinks, view), of: .kept, type, causal: visible.keptIsCausal, pool: pool)
      }
      let numbers = indices.clamped(to: 0..<rows.plan.keptIndices(visible.kept))
      let places = try rows.blockPlaces(numbers, blocks, view)
      if !places.isEmpty { visitor.add(places.map(\.rows), pool: pool) }
      return
    }
    let range = min(visible.kept, indices.lowerBound * slots)..<min(visible.kept, indices.upperBound * slots)
    if rows.plan.hasColdFrames, range.upperBound > rows.plan.sinks {
      let assembled = try AssembledSlabs(range, rows, view, pool: store.slabPool)
      withExtendedLifetime(assembled) {
        visitor.add(assembled.runs, of: .kept, type, causal: false, pool: pool)
        visitor.flush(pool: pool)
      }
    } else {
      visitor.add(
        try rows.keptSlabRuns(range, view), of: .kept, type, causal: visible.keptIsCausal, pool: pool)
    }
  }
}

extension LayerPlan {
  /// Indices of the kept stream that one snapshot of about `slabs` slabs reads: transactions end, whatever the length of the session. An index
  /// is a slab of each group, or a block where rows have 8 bits.
  ///
  /// The end of a snapshot ends a split of attention. So that the splits, and with them a query's bits, depend neither on `slabs` nor on the
  /// codec, each snapshot ends where a split would.
  fileprivate func scannedIndices(_ slabs: Int) -> Int {
    if let blocks {
      // Splits are counted by the rows of the first block, so each snapshot begins with the first one of a partition.
      let parts = leastCommonMultiple(
        AttentionAccumulator.blocksPerSplit(rows: blocks.rows), blocks.parts)
      let whole = parts * blocks.kvHeads
      return max(whole, slabs * blocks.perSlab / whole * whole)
    }
    let whole = AttentionAccumulator.blocksPerSplit(rows: shape.slots)
    // Where the heads are cut into more groups than a slab has slots, a whole split would be too much to put together out of frames.
    let most = max(1, Self.assembledSlabs / shape.groups)
    if hasColdFrames || whole > most { return min(whole, most) }
    return max(whole, slabs / shape.groups / whole * whole)
  }

  /// Slabs that rows out of frames are put together into at a time, 35 MB.
  private static let assembledSlabs = 512

  /// Indices over which a scan of the first `rows` rows of the kept stream goes.
  fileprivate func keptIndices(_ rows: Int) -> Int {
    guard let blocks else { return shape.slabs(rows) }
    return max(0, rows - sinks) / blocks.kept * blocks.perPartition
  }
}

private func leastCommonMultiple(_ a: Int, _ b: Int) -> Int {
  var (divisor, rest) = (a, b)
  while rest > 0 { (divisor, rest) = (rest, divisor % rest) }
  return a / divisor * b
}

extension Session {
  private func record(
    _ view: borrowing ReadTransaction, _ tail: StagedTail?, ifTokens: Int?
  ) throws(StoreError) -> SessionRecord {
    if let tail { return try tail.record(view) }
    return try record(view, ifTokens: ifTokens)
  }
}

extension Session {
  /// Attention of queries over every committed row of a layer.
  ///
  /// - Parameters:
  ///   - queries: `[tokens, queryHeads, headDim]`, finite; `queryHeads` a multiple of the session's KV heads.
  ///   - scale: nil: `1/√headDim`.
  ///   - ifTokens: `moved` unless the session stands there.
  ///   - out: f32, the queries' shape.
  ///   - logSumExp: f32 `[tokens, queryHeads]`, natural logarithm; `-inf` where there is no row.
  /// - Returns: the token count attended over.
  /// - Throws: `invalidArgument`, `nonFinite`, `moved`, `notFound`, `corrupt`.
  public func attend(
    layer: Int, queries: TensorView, scale: Float? = nil, ifTokens: Int? = nil, out: MutableTensorView,
    logSumExp: LogSumExpView
  ) throws(StoreError) -> Int {
    try checkLayer(layer)
    let shape = try attentionShape(queries, scale, out.readOnly, logSumExp)
    try checkFinite(queries, layer: layer)
    let running = RunningAttention(
      AttentionAccumulator(shape: shape, queries: queries, firstQueryPosition: 0, pool: store.options.pool))
    let tokens = try scan(
      nil, layer: layer, decoder: FrameDecoder(), ifTokens: ifTokens, into: running)
    running.accumulator.finish(out: out, logSumExp: logSumExp, pool: store.options.pool)
    return tokens
  }
}
