import Kernels
import LagKV

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Attention of some queries over keys and values that come in pieces: the running maximum, sum and weighted
/// values per query and head, in f32.
///
/// Rows are packed per KV head, `[kvHeads][query][group][headDim]`, so that the query heads of one KV head share
/// every load of a key. On one CPU the result depends on the queries, the blocks and their order, and on nothing
/// else: not on the number of threads, and a query's bits not on the other queries of the call.
public struct AttentionAccumulator: ~Copyable {
  public let shape: AttentionShape
  /// Queries per head.
  public let tokens: Int
  /// The position of the first query; they follow each other.
  public let firstQueryPosition: Int

  /// Owned, 64-byte aligned; the layout is in ``init(shape:queries:firstQueryPosition:)``.
  private let storage: UnsafeMutablePointer<Float>
  /// Owned; one kernel's scratch per participant, made by the first ``add(_:pool:)``.
  private var scratch: UnsafeMutablePointer<Float>?
  private var scratchSlots = 0
  /// Owned; the runs of one KV head per participant.
  private var runs: UnsafeMutablePointer<lagoon_key_run>?
  private var runSlots = 0

  private let layout: QueryRows

  /// Converts the queries to f32 and multiplies them by the scale, once.
  /// - Parameter queries: `[tokens, queryHeads, headDim]`, finite.
  public init(shape: AttentionShape, queries: TensorView, firstQueryPosition: Int) {
    precondition(queries.heads == shape.queryHeads && queries.headDim == shape.headDim)
    self.shape = shape
    self.tokens = queries.tokens
    self.firstQueryPosition = firstQueryPosition

    // queries [kvHeads, rowsPerHead, padded], weighted (the same), maximum [kvHeads, rowsPerHead], sum (the same).
    layout = QueryRows(shape: shape, tokens: queries.tokens)
    storage = QueryRows.allocate(floats: 2 * layout.floats + 2 * layout.count)
    storage.initialize(repeating: 0, count: 2 * layout.floats + 2 * layout.count)
    (storage + 2 * layout.floats).update(repeating: -.infinity, count: layout.count)
    layout.pack(queries, scale: shape.scale, to: storage)
  }

  deinit {
    // All came from `allocate` and nothing else holds them: kernels keep no pointer.
    storage.deallocate()
    scratch?.deallocate()
    runs?.deallocate()
  }

  /// Query rows per work item: enough to use a converted tile of keys often, few enough to spread.
  private static let rowsPerTile = 64
  /// Below this many multiply-adds a call stays on its thread: waking another costs about as much.
  private static let inlineWork = 1 << 21

  /// Attends to the rows of `blocks`, in that order, as to one list: where it is cut into blocks changes no bit.
  /// Blocks may hold any of the KV heads, in any element type; their order, and where the calls part them,
  /// changes the result by rounding only.
  /// - Parameter pool: nil runs everything on this thread without a permit.
  public mutating func add(_ blocks: [KeyValueBlock], pool: WorkerPool?) {
    var keyRows = 0
    for block in blocks {
      precondition(block.heads.lowerBound >= 0 && block.heads.upperBound <= shape.kvHeads && block.rows >= 0)
      keyRows += block.rows * block.heads.count
    }
    if keyRows == 0 || tokens == 0 { return }
    let tokensPerTile = max(1, Self.rowsPerTile / shape.group)
    let tiles = (tokens + tokensPerTile - 1) / tokensPerTile
    let items = tiles * shape.kvHeads
    let work = keyRows * layout.perHead * shape.headDim
    let parallel = pool.map { $0.threads > 1 && items > 1 && work > Self.inlineWork } ?? false
    let participants = parallel ? pool?.threads ?? 1 : 1
    let pass = AttentionPass(
      layout: layout, blocks: blocks, storage: storage, tokensPerTile: tokensPerTile, tiles: tiles,
      firstQueryPosition: firstQueryPosition,
      scratch: scratch(slots: participants), scratchStride: Self.scratchStride(headDim: shape.headDim),
      runs: runs(slots: participants * blocks.count))
    if let pool, parallel {
      pool.run(items) { item, participant in pass.run(item: item, participant: participant) }
    } else if let pool {
      pool.runInline { for item in 0..<items { pass.run(item: item, participant: 0) } }
    } else {
      for item in 0..<items { pass.run(item: item, participant: 0) }
    }
  }

  /// Floats, a multiple of 16: scratch of different threads shares no cache line.
  private static func scratchStride(headDim: Int) -> Int {
    (lagoon_attention_scratch(headDim) + 15) / 16 * 16
  }

  private mutating func scratch(slots: Int) -> UnsafeMutablePointer<Float> {
    if let scratch, slots <= scratchSlots { return scratch }
    scratch?.deallocate()
    let made = QueryRows.allocate(floats: slots * Self.scratchStride(headDim: shape.headDim))
    scratch = made
    scratchSlots = slots
    return made
  }

  private mutating func runs(slots: Int) -> UnsafeMutablePointer<lagoon_key_run> {
    if let runs, slots <= runSlots { return runs }
    runs?.deallocate()
    let made = UnsafeMutablePointer<lagoon_key_run>.allocate(capacity: slots)
    runs = made
    runSlots = slots
    return made
  }

  /// Writes the attention over everything added so far; more can be added after.
  /// - Parameters:
  ///   - out: f32 `[tokens, queryHeads, headDim]`, 0 for a query that saw no row.
  ///   - logSumExp: f32 `[tokens, queryHeads]`, -infinity for a query that saw no row.
  public func finish(out: MutableTensorView, logSumExp: LogSumExpView) {
    precondition(out.tokens == tokens && out.heads == shape.queryHeads && out.headDim == shape.headDim)
    precondition(logSumExp.tokens == tokens && logSumExp.heads == shape.queryHeads)
    let weighted = storage + layout.floats
    let maximum = weighted + layout.floats
    let sum = maximum + layout.count
    for head in 0..<shape.queryHeads {
      for token in 0..<tokens {
        let row = layout.row(token: token, head: head)
        let to = out.row(token: token, head: head)
        let values = weighted + row * layout.padded
        // A sum of weights is 0 only where no row was seen; NaN, of products beyond f32, stays visible.
        let inverse = sum[row] != 0 ? 1 / sum[row] : 0
        for c in 0..<shape.headDim {
          to.storeBytes(of: values[c] * inverse, toByteOffset: 4 * c, as: Float.self)  // any alignment
        }
        logSumExp[token, head] =
          sum[row] != 0 ? Float(Double(maximum[row]) + log(Double(sum[row]))) : -.infinity
      }
    }
  }
}

/// One `add`, cut into work items of one KV head and one tile of queries.
///
/// Sendable by `@unchecked`: items touch disjoint rows of `storage`, each participant its own scratch, blocks are
/// read only, and `add` holds all of it until every item is done.
private struct AttentionPass: @unchecked Sendable {
  let layout: QueryRows
  let blocks: [KeyValueBlock]
  let storage: UnsafeMutablePointer<Float>
  let tokensPerTile: Int
  let tiles: Int
  let firstQueryPosition: Int
  let scratch: UnsafeMutablePointer<Float>
  let scratchStride: Int
  let runs: UnsafeMutablePointer<lagoon_key_run>

  func run(item: Int, participant: Int) {
    let (kvHead, tile) = item.quotientAndRemainder(dividingBy: tiles)
    let firstToken = tile * tokensPerTile
    let group = layout.shape.group
    let firstRow = kvHead * layout.perHead + firstToken * group
    let count = min(tokensPerTile * group, layout.perHead - firstToken * group)
    let first = firstRow * layout.padded
    let maximum = storage + 2 * layout.floats
    var rows = lagoon_query_rows(
      queries: storage + first, weighted: storage + layout.floats + first, maximum: maximum + firstRow,
      sum: maximum + layout.count + firstRow, rows: count, group: group, headDim: layout.shape.headDim,
      firstPosition: Int64(firstQueryPosition + firstToken))
    let lastPosition = firstQueryPosition + firstToken + count / group - 1
    let runs = runs + participant * blocks.count
    var found = 0
    var type = ElementType.float32
    let scratch = scratch + participant * scratchStride
    for block in blocks where block.heads.contains(kvHead) && block.rows > 0 {
      if let first = block.firstPosition, first > lastPosition { continue }
      if found > 0, block.elementType != type {
        lagoon_attend(&rows, runs, found, type.rawValue, scratch)
        found = 0
      }
      type = block.elementType
      let offset = (kvHead - block.heads.lowerBound) * block.headStrideBytes
      (runs + found).initialize(
        to: lagoon_key_run(
          keys: block.keys + offset, values: block.values + offset, count: block.rows,
          firstPosition: block.firstPosition.map(Int64.init) ?? .min))
      found += 1
    }
    lagoon_attend(&rows, runs, found, type.rawValue, scratch)
  }
}
