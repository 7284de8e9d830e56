import Glibc
import Kernels
import LagKV

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

  /// Owned, 64-byte aligned: the packed queries, and their sums. Several blocks rather than one, so that those of a common chunk (128 queries,
  /// 32 heads of 128) stay in the heap when they are freed, instead of being mapped and cleared by the system in every call.
  private let queries: PackedQueries
  private let sumsMemory: UnsafeMutablePointer<Float>
  private let sums: RunningSums
  /// Owned; what a call needs beside, kept for the next one.
  private var scratch = ScratchFloats()
  private var partMemory = ScratchFloats()
  private var runs = UnsafeMutableRawBufferPointer(start: nil, count: 0)

  private let layout: QueryRows
  private var isEmpty = true

  /// Converts the queries to f32, once.
  /// - Parameters:
  ///   - queries: `[tokens, queryHeads, headDim]`, finite.
  ///   - pool: as in `add`.
  public init(shape: AttentionShape, queries: TensorView, firstQueryPosition: Int, pool: WorkerPool? = nil) {
    precondition(queries.heads == shape.queryHeads && queries.headDim == shape.headDim)
    self.shape = shape
    self.tokens = queries.tokens
    self.firstQueryPosition = firstQueryPosition

    layout = QueryRows(shape: shape, tokens: queries.tokens)
    self.queries = PackedQueries(queries, layout, pool)
    sumsMemory = QueryRows.allocate(
      Float.self, RunningSums.floats(rows: layout.count, padded: layout.padded))
    sums = RunningSums(sumsMemory, rows: layout.count, padded: layout.padded)
    let (layout, sums) = (layout, sums)
    layout.forEachHead(pool) { sums.clear($0..<$0 + 1, layout) }
  }

  deinit {
    // All came from `allocate` and nothing else holds them: kernels keep no pointer.
    queries.deallocate()
    sumsMemory.deallocate()
    runs.deallocate()
  }

  /// Query rows per work item, at least: enough to use a converted tile of keys often.
  private static let fewestRowsPerTile = 64
  /// Floats of the query rows of a work item, at most: they stay in the second cache with what is accumulated for them.
  private static let floatsPerTile = 1 << 15
  /// Up to this many query rows a head, reading the keys is what takes the time.
  private static let fewRows = 16
  /// Below this many multiply-adds a call stays on its thread: waking another costs about as much.
  private static let inlineWork = 1 << 21
  /// How finely the work is cut, so that no thread waits long for the last item of another.
  private static let itemsPerThread = 8

  /// Reading the keys takes longer than computing with them.
  public var hasFewQueries: Bool { layout.perHead <= Self.fewRows }

  /// A list of blocks with `rows` rows each (but the last) may come in several calls without any change of bits if all but the last
  /// of them bring a multiple of this many blocks of every head.
  public static func blocksPerSplit(rows: Int) -> Int {
    AttentionCut.blocksPerSplit(rows: rows)
  }

  /// Attends to the rows of `blocks`, in that order. Blocks may hold any of the KV heads, in any element type;
  /// order and partition change the result by rounding only.
  /// - Parameter pool: nil runs everything on this thread without a permit.
  public mutating func add(_ blocks: [KeyValueBlock], pool: WorkerPool?) { attend([blocks], pool) }

  /// Attends to the rows of several lists, one after the other; to the bit as if each were added by itself.
  public mutating func add(_ lists: [[KeyValueBlock]], pool: WorkerPool?) { attend(lists, pool) }

  /// Attends to 8-bit rows, which every query sees; otherwise as for rows in their own type.
  public mutating func add(_ blocks: [EightBitBlock], pool: WorkerPool?) { attend([blocks], pool) }

  private mutating func attend<Block: AttendedBlock>(_ lists: [[Block]], _ pool: WorkerPool?) {
    let lists = lists.filter { $0.contains { $0.rows > 0 } }
    var blocks: [Block] = []
    if lists.count == 1 {
      blocks = lists[0]
    } else {
      blocks.reserveCapacity(lists.reduce(0) { $0 + $1.count })
      for list in lists { blocks += list }
    }
    var keyRows = 0
    for block in blocks {
      precondition(block.heads.lowerBound >= 0 && block.heads.upperBound <= shape.kvHeads && block.rows >= 0)
      keyRows += block.rows * block.heads.count
    }
    if keyRows == 0 || tokens == 0 { return }
    let cut = AttentionCut(lists)
    let bySplits = hasFewQueries && cut.count > 1
    let work = keyRows * layout.perHead * shape.headDim
    let threads = work > Self.inlineWork ? pool?.threads ?? 1 : 1
    let tokensPerTile = max(1, rowsPerTile(threads: threads) / shape.group)
    let tiles = (tokens + tokensPerTile - 1) / tokensPerTile
    let rowsPerPart = bySplits ? layout.count : tokensPerTile * shape.group
    let splitsAtOnce = bySplits ? Self.splitsAtOnce(rows: rowsPerPart, padded: layout.padded) : cut.count
    let scratchStride = Self.scratchStride(
      headDim: shape.headDim, rows: bySplits ? layout.perHead : rowsPerPart)
    for first in stride(from: 0, to: cut.count, by: splitsAtOnce) {
      let splits = first..<min(first + splitsAtOnce, cut.count)
      let headsPerItem = Self.headsPerItem(shape.kvHeads, splits: splits.count, threads: threads)
      let items =
        bySplits ? splits.count * ((shape.kvHeads + headsPerItem - 1) / headsPerItem) : tiles * shape.kvHeads
      let parallel = threads > 1 && items > 1
      let participants = parallel ? threads : 1
      let direct = isEmpty ? 1 : 0
      isEmpty = false
      let pass = AttentionPass(
        blocks: blocks, cut: cut, splits: splits, queries: queries, sums: sums,
        parts: parts(
          splits.count == direct ? 0 : bySplits ? splits.count - direct : participants, rows: rowsPerPart),
        direct: direct, layout: layout, firstQueryPosition: firstQueryPosition, tokensPerTile: tokensPerTile,
        headsPerItem: headsPerItem, participants: participants,
        scratch: scratch.take(participants * scratchStride), scratchStride: scratchStride,
        runs: runs(Block.Run.self, 2 * participants * cut.mostBlocks), mostRuns: cut.mostBlocks)
      Self.run(items, parallel: parallel, pool) { item, participant in
        if bySplits {
          pass.attend(splitItem: item, participant: participant)
        } else {
          pass.attend(tileItem: item, participant: participant)
        }
      }
      if bySplits { pass.merge() }
    }
  }

  /// As many as there is room for, fewer where the threads would not end together.
  private func rowsPerTile(threads: Int) -> Int {
    var rows = Self.floatsPerTile / layout.padded
    while rows > Self.fewestRowsPerTile,
      shape.kvHeads * ((layout.perHead + rows - 1) / rows) < Self.itemsPerThread * threads
    { rows /= 2 }
    return max(rows, Self.fewestRowsPerTile)
  }

  /// Few queries: splits whose parts take some 2 MiB together.
  private static func splitsAtOnce(rows: Int, padded: Int) -> Int {
    max(1, (2 << 20) / (RunningSums.floats(rows: rows, padded: padded) * MemoryLayout<Float>.stride))
  }

  /// All heads of a split together if there are many splits, fewer where the threads would not end together.
  private static func headsPerItem(_ kvHeads: Int, splits: Int, threads: Int) -> Int {
    threads == 1 ? kvHeads : min(kvHeads, max(1, kvHeads * splits / (itemsPerThread * threads)))
  }

  private static func run(
    _ items: Int, parallel: Bool, _ pool: WorkerPool?,
    _ body: @Sendable (_ item: Int, _ participant: Int) -> Void
  ) {
    if let pool, parallel {
      pool.run(items, body)
    } else if let pool {
      pool.runInline { for item in 0..<items { body(item, 0) } }
    } else {
      for item in 0..<items { body(item, 0) }
    }
  }

  /// Floats, a multiple of 16: scratch of different threads shares no cache line.
  private static func scratchStride(headDim: Int, rows: Int) -> Int {
    (lagoon_attention_scratch(headDim, rows) + 15) / 16 * 16
  }

  private mutating func parts(_ count: Int, rows: Int) -> [RunningSums] {
    if count == 0 { return [] }
    let floats = RunningSums.floats(rows: rows, padded: layout.padded)
    let memory = partMemory.take(count * floats)
    return (0..<count).map { RunningSums(memory + $0 * floats, rows: rows, padded: layout.padded) }
  }

  private mutating func runs<Run>(_: Run.Type, _ count: Int) -> UnsafeMutablePointer<Run> {
    let bytes = count * MemoryLayout<Run>.stride
    if runs.count < bytes || runs.baseAddress == nil {
      runs.deallocate()
      runs = .allocate(byteCount: max(bytes, 16), alignment: 16)
    }
    return runs.baseAddress!.assumingMemoryBound(to: Run.self)
  }

  /// Writes the attention over everything added so far; more can be added after.
  /// - Parameters:
  ///   - out: f32 `[tokens, queryHeads, headDim]`, 0 for a query that saw no row.
  ///   - logSumExp: f32 `[tokens, queryHeads]`, -infinity for a query that saw no row.
  ///   - pool: as in `add`.
  public func finish(out: MutableTensorView, logSumExp: LogSumExpView, pool: WorkerPool? = nil) {
    precondition(out.tokens == tokens && out.heads == shape.queryHeads && out.headDim == shape.headDim)
    precondition(logSumExp.tokens == tokens && logSumExp.heads == shape.queryHeads)
    let (layout, sums) = (layout, sums)
    layout.forEachRow(pool) { row, token, head in
      let sum = sums.sum[row]
      // A sum of weights is 0 only where no row was seen; NaN, of products beyond f32, stays visible.
      lagoon_scale(
        sums.weighted + row * layout.padded, sum != 0 ? 1 / sum : 0,
        out.row(token: token, head: head).assumingMemoryBound(to: Float.self), layout.shape.headDim)
      logSumExp[token, head] = sum != 0 ? Float(Double(sums.maximum[row]) + log(Double(sum))) : -.infinity
    }
  }
}
