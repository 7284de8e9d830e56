import Foundation
import Kernels

/// The heads of a ``CausalTrainingAttention``, and what is done for one KV head at a time: its query heads' rows lie together as
/// the kernels want them, `[token, group, padded]`.
struct CausalHeads {
  let queryHeads: Int
  let kvHeads: Int
  let headDim: Int
  /// Whether factors are rounded to bf16.
  let rounds: Bool
  /// Query heads of a KV head.
  let group: Int
  /// Floats from row to row.
  let padded: Int
  let scale: Float

  init(_ configuration: ModelConfiguration, rounds: Bool) {
    queryHeads = configuration.queryHeads
    kvHeads = configuration.kvHeads
    headDim = configuration.headDim
    self.rounds = rounds
    group = queryHeads / kvHeads
    padded = lagoon_padded_dim(headDim)
    scale = Float(1 / Double(headDim).squareRoot())
  }

  var queryWidth: Int { queryHeads * headDim }
  var keyWidth: Int { kvHeads * headDim }

  /// A chunk's tokens in the blocks that are computed together: about 128 rows.
  func blocks(_ tokens: Int) -> [Range<Int>] {
    let block = max(1, 128 / group)
    return stride(from: 0, to: tokens, by: block).map { $0..<min($0 + block, tokens) }
  }

  /// Keys in slices whose gradients are computed apart: enough of them for a few cores, by the shape alone.
  func slices(_ keys: Int) -> [Range<Int>] {
    let count = max(1, min(keys / 256, 8 / kvHeads))
    let length = ((keys + count - 1) / count + 63) / 64 * 64
    return stride(from: 0, to: keys, by: length).map { $0..<min($0 + length, keys) }
  }

  // MARK: Keys and values

  /// Copies a head's rows of `[tokens, kvHeads, headDim]` to `[tokens, headDim]`, rounded.
  func store(
    _ rows: UnsafeBufferPointer<Float>, _ head: Int, into stored: UnsafeMutableBufferPointer<Float>
  ) {
    for token in 0..<stored.count / headDim {
      copy(rows, at: token * keyWidth + head * headDim, to: stored, at: token * headDim, times: 1)
    }
  }

  /// Whether a head's rows are those that were stored, bit for bit.
  func are(
    _ rows: UnsafeBufferPointer<Float>, _ head: Int, stored: UnsafeBufferPointer<Float>
  ) -> Bool {
    for token in 0..<stored.count / headDim {
      for channel in 0..<headDim {
        let given = rows[token * keyWidth + head * headDim + channel]
        let value = rounds ? BFloat16.round(given) : given
        if value.bitPattern != stored[token * headDim + channel].bitPattern { return false }
      }
    }
    return true
  }

  /// Moves a head's rows of a block, `[block, headDim]`, to `[tokens, kvHeads, headDim]`, and leaves zeros.
  func take(
    _ rows: UnsafeMutableBufferPointer<Float>, _ head: Int, _ block: Range<Int>,
    into output: UnsafeMutableBufferPointer<Float>
  ) {
    for (row, token) in block.enumerated() {
      for channel in 0..<headDim {
        output[token * keyWidth + head * headDim + channel] = rows[row * headDim + channel]
        rows[row * headDim + channel] = 0
      }
    }
  }

  // MARK: Queries

  /// Packs a block's rows of `[tokens, queryHeads, headDim]`, rounded, then times `factor`.
  func pack(
    _ rows: UnsafeBufferPointer<Float>, _ head: Int, _ block: Range<Int>, times factor: Float,
    into packed: UnsafeMutableBufferPointer<Float>
  ) {
    for (row, token) in block.enumerated() {
      for member in 0..<group {
        let to = (row * group + member) * padded
        copy(rows, at: element(token, head, member), to: packed, at: to, times: factor)
        if padded > headDim { packed.part(to + headDim..<to + padded).update(repeating: 0) }
      }
    }
  }

  /// The first channel of a query in `[tokens, queryHeads, headDim]`.
  func element(_ token: Int, _ head: Int, _ member: Int) -> Int {
    (token * queryHeads + head * group + member) * headDim
  }

  /// One row's channels, rounded, times `factor`.
  private func copy(
    _ from: UnsafeBufferPointer<Float>, at start: Int, to: UnsafeMutableBufferPointer<Float>, at target: Int,
    times factor: Float
  ) {
    let source = from.part(start..<start + headDim).baseAddress
    let copy = to.part(target..<target + headDim).baseAddress
    if rounds { lagoon_round_bf16(source, copy, headDim) }
    lagoon_scale(rounds ? UnsafePointer(copy) : source, factor, copy, headDim)
  }

  // MARK: Forward

  /// Floats that ``attend(_:_:_:from:keys:values:into:logSumExp:_:)`` works in.
  var forwardScratch: Int {
    let rows = max(1, 128 / group) * group
    return aligned(2 * rows * padded) + 2 * aligned(rows) + aligned(lagoon_attention_scratch(headDim, rows))
  }

  /// Attention of one head's queries of a block of the chunk.
  ///
  /// - Parameters:
  ///   - block: tokens of the chunk, which begins at position `from`.
  ///   - keys: `[tokens that the block's last query sees, headDim]`, from position 0 on.
  ///   - values: likewise.
  ///   - out: `[tokens, queryHeads, headDim]`.
  ///   - logSumExp: `[tokens, queryHeads]`.
  func attend(
    _ queries: UnsafeBufferPointer<Float>, _ head: Int, _ block: Range<Int>, from: Int,
    keys: UnsafeBufferPointer<Float>, values: UnsafeBufferPointer<Float>,
    into out: UnsafeMutableBufferPointer<Float>, logSumExp: UnsafeMutableBufferPointer<Float>,
    _ scratch: UnsafeMutableBufferPointer<Float>
  ) {
    let count = block.count * group
    var rest = scratch[...]
    let packed = part(&rest, count * padded)
    let weighted = part(&rest, count * padded)
    let maximum = part(&rest, count)
    let sum = part(&rest, count)
    pack(queries, head, block, times: scale, into: packed)
    weighted.update(repeating: 0)
    maximum.update(repeating: -.infinity)
    sum.update(repeating: 0)
    guard let queryRows = packed.baseAddress, let sums = weighted.baseAddress,
      let maxima = maximum.baseAddress, let totals = sum.baseAddress,
      let keys = keys.baseAddress, let values = values.baseAddress
    else { return }
    var rows = lagoon_query_rows(
      queries: queryRows, weighted: sums, maximum: maxima, sum: totals, rows: count, group: group,
      headDim: headDim, firstPosition: Int64(from + block.lowerBound), scale: 1, narrow: nil)
    var run = lagoon_key_run(keys: keys, values: values, count: from + block.upperBound, firstPosition: 0)
    lagoon_attend(
      &rows, &run, 1, nil, 0, UInt8(LAGOON_F32),
      part(&rest, lagoon_attention_scratch(headDim, count)).baseAddress)
    for (row, token) in block.enumerated() {
      for member in 0..<group {
        let index = row * group + member
        let to = element(token, head, member)
        let total = sum[index]
        lagoon_scale(
          weighted.part(index * padded..<index * padded + headDim).baseAddress, 1 / total,
          out.part(to..<to + headDim).baseAddress, headDim)
        logSumExp[token * queryHeads + head * group + member] = maximum[index] + log(total)
      }
    }
  }

  /// Cuts aligned memory off the front of aligned memory.
  private func part(
    _ rest: inout Slice<UnsafeMutableBufferPointer<Float>>, _ count: Int
  ) -> UnsafeMutableBufferPointer<Float> {
    let part = UnsafeMutableBufferPointer(rebasing: rest.prefix(count))
    rest = rest.dropFirst(aligned(count))
    return part
  }
}

/// Floats up to the next multiple of 64 bytes.
func aligned(_ floats: Int) -> Int { (floats + 15) / 16 * 16 }
