import Kernels
import LagKV

extension AttentionBackward {
  /// Work items that a call is cut into at most, or one for each KV head: enough for many cores, and each
  /// beyond one for each head costs a copy of that head's dQueries.
  private static let mostItems = 32
  /// Rows of a slice, at least: below, adding its dQueries up would cost too much.
  private static let sliceRows = 512
  /// Below this many multiply-adds a call stays on its thread: waking another costs about as much.
  private static let inlineWork = 1 << 21

  /// Bytes of working memory that a backward pass over `tokens` queries takes at most, beside the scratch of each thread; nil:
  /// more than can be counted.
  public static func workingBytes(shape: AttentionShape, tokens: Int) -> Int? {
    let padded = Int(lagoon_padded_dim(shape.headDim))
    let (rows, tooMany) = tokens.multipliedReportingOverflow(by: shape.queryHeads)
    // Queries, dOut and dQueries, and a copy of dQueries for every slice beyond the first; bf16 queries once more.
    let copies = 3 + max(0, mostItems / shape.kvHeads - 1)
    let (bytes, overflow) = rows.multipliedReportingOverflow(by: 4 * (copies * padded + 2) + 2 * padded)
    return tooMany || overflow ? nil : bytes
  }

  /// Adds the share of the rows of `blocks`, in that order, to the gradients of the queries, and their own
  /// gradients to what `gradients` describes.
  /// - Parameters:
  ///   - blocks: rows of any of the KV heads, in any element type, finite; see ``KeyValueBlock``.
  ///   - gradients: for each block where its dk and dv accumulate (`+=`); nil: they are not wanted, and their work is spared.
  ///   - pool: nil runs everything on this thread without a permit.
  public mutating func add(
    _ blocks: [KeyValueBlock], into gradients: [KeyValueGradient?], pool: WorkerPool?
  ) {
    precondition(blocks.count == gradients.count)
    var keyRows = 0
    for (block, gradient) in zip(blocks, gradients) {
      precondition(block.heads.lowerBound >= 0 && block.heads.upperBound <= shape.kvHeads && block.rows >= 0)
      if let gradient, block.heads.count > 1 {
        precondition(gradient.headStrideBytes >= block.rows * shape.headDim * 4)
      }
      keyRows += block.rows * block.heads.count
    }
    if keyRows == 0 || tokens == 0 { return }
    // How the work is cut depends on the blocks and the shape alone, and so do the bits.
    let slices = max(
      1, min(Self.mostItems / shape.kvHeads, keyRows / (shape.kvHeads * Self.sliceRows)))
    let items = slices * shape.kvHeads
    let work = keyRows * layout.perHead * shape.headDim
    let parallel = pool.map { $0.threads > 1 && items > 1 && work > Self.inlineWork } ?? false
    let scratchStride = (lagoon_attention_backward_scratch(shape.headDim) + 15) / 16 * 16
    let participants = parallel ? pool?.threads ?? 1 : 1
    let partial = workspace.take(participants * scratchStride + (slices - 1) * layout.floats)
    let pass = BackwardPass(
      layout: layout, pieces: Self.cut(blocks, rows: keyRows, slices: slices), blocks: blocks,
      gradients: gradients, storage: storage, narrow: narrow,
      firstQueryPosition: firstQueryPosition,
      scratch: partial + (slices - 1) * layout.floats, scratchStride: scratchStride, partial: partial)
    if let pool, parallel {
      pool.run(items) { item, participant in pass.run(item: item, participant: participant) }
      if slices > 1 { pool.run(shape.kvHeads) { kvHead, _ in pass.addSlices(kvHead: kvHead) } }
    } else {
      let heads = shape.kvHeads
      let all = {
        for item in 0..<items { pass.run(item: item, participant: 0) }
        for kvHead in 0..<heads { pass.addSlices(kvHead: kvHead) }
      }
      if let pool { pool.runInline(all) } else { all() }
    }
  }

  /// Cuts the blocks' rows, in their order, into slices of about the same work. A block is cut at whole tiles of its rows.
  private static func cut(_ blocks: [KeyValueBlock], rows: Int, slices: Int) -> [[BackwardPiece]] {
    let tile = 64
    var result = [[BackwardPiece]](repeating: [], count: slices)
    var slice = 0
    var done = 0
    for (index, block) in blocks.enumerated() where block.rows > 0 && !block.heads.isEmpty {
      var first = 0
      while first < block.rows {
        var end = block.rows
        let limit = rows / slices * (slice + 1)
        if slice < slices - 1 {
          let tiles = (limit - done + block.heads.count * tile - 1) / (block.heads.count * tile)
          end = min(end, first + max(1, tiles) * tile)
        }
        result[slice].append(BackwardPiece(block: index, rows: first..<end))
        done += (end - first) * block.heads.count
        first = end
        if slice < slices - 1 && done >= limit { slice += 1 }
      }
    }
    return result
  }
}

/// Some rows of one block.
private struct BackwardPiece: Sendable {
  let block: Int
  let rows: Range<Int>
}

/// One `add`, cut into work items of one KV head and one slice of the keys.
///
/// Sendable by `@unchecked`: items write disjoint rows of the gradients of keys and values (other heads, or
/// other rows of the same head) and their own dQueries (`storage` for the first slice of a head, `partial` for
/// the others), each participant its own scratch; the rest is read only, and `add` holds all of it until every
/// item is done.
private struct BackwardPass: @unchecked Sendable {
  let layout: QueryRows
  let pieces: [[BackwardPiece]]
  let blocks: [KeyValueBlock]
  let gradients: [KeyValueGradient?]
  let storage: UnsafeMutablePointer<Float>
  let narrow: UnsafeMutablePointer<UInt16>?
  let firstQueryPosition: Int
  let scratch: UnsafeMutablePointer<Float>
  let scratchStride: Int
  let partial: UnsafeMutablePointer<Float>

  /// The dQueries of this head that a slice adds to.
  private func dQueries(kvHead: Int, slice: Int) -> UnsafeMutablePointer<Float> {
    let all = slice == 0 ? storage + 2 * layout.floats : partial + (slice - 1) * layout.floats
    return all + kvHead * layout.perHead * layout.padded
  }

  func run(item: Int, participant: Int) {
    let (kvHead, slice) = item.quotientAndRemainder(dividingBy: pieces.count)
    let firstRow = kvHead * layout.perHead
    let first = firstRow * layout.padded
    let dQueries = dQueries(kvHead: kvHead, slice: slice)
    if slice > 0 { dQueries.initialize(repeating: 0, count: layout.perHead * layout.padded) }
    let logSumExp = storage + 3 * layout.floats
    var rows = lagoon_query_gradient_rows(
      queries: storage + first, dOut: storage + layout.floats + first, logSumExp: logSumExp + firstRow,
      delta: logSumExp + layout.count + firstRow, dQueries: dQueries, rows: layout.perHead,
      group: layout.shape.group, headDim: layout.shape.headDim, firstPosition: Int64(firstQueryPosition),
      scale: layout.shape.scale, narrow: narrow.map { UnsafePointer($0 + first) })
    var runs: [lagoon_gradient_run] = []
    runs.reserveCapacity(pieces[slice].count)
    var type = ElementType.float32
    let scratch = scratch + participant * scratchStride
    for piece in pieces[slice] where blocks[piece.block].heads.contains(kvHead) {
      let block = blocks[piece.block]
      if block.elementType != type, !runs.isEmpty {
        lagoon_attend_backward(&rows, runs, runs.count, type.rawValue, scratch)
        runs.removeAll(keepingCapacity: true)
      }
      type = block.elementType
      let gradient = gradients[piece.block]
      let head = kvHead - block.heads.lowerBound
      let elements = piece.rows.lowerBound * layout.shape.headDim
      let from = head * block.headStrideBytes + elements * block.elementType.byteCount
      func place(_ base: UnsafeMutableRawPointer, _ stride: Int) -> UnsafeMutablePointer<Float> {
        (base + head * stride + elements * 4).assumingMemoryBound(to: Float.self)
      }
      runs.append(
        lagoon_gradient_run(
          keys: block.keys + from, values: block.values + from, count: piece.rows.count,
          firstPosition: block.firstPosition.map { Int64($0 + piece.rows.lowerBound) } ?? .min,
          dKeys: gradient.map { place($0.dKeys, $0.headStrideBytes) },
          dValues: gradient.map { place($0.dValues, $0.headStrideBytes) }))
    }
    lagoon_attend_backward(&rows, runs, runs.count, type.rawValue, scratch)
  }

  /// Adds a head's dQueries of the later slices to those of the first, in their order.
  func addSlices(kvHead: Int) {
    let sum = dQueries(kvHead: kvHead, slice: 0)
    for slice in 1..<max(1, pieces.count) {
      let other = dQueries(kvHead: kvHead, slice: slice)
      for i in 0..<layout.perHead * layout.padded { sum[i] += other[i] }
    }
  }
}
