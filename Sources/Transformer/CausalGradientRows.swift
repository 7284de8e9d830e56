import Kernels

/// The memory of one backward call of a ``CausalTrainingAttention`` and what is done in it: a chunk's rows of every KV head, and
/// gradients of the queries for each slice of keys, added up at the end in the order of the slices.
struct CausalGradientRows {
  private let heads: CausalHeads
  private let slices: [Range<Int>]
  /// Query rows of a KV head.
  private let rows: Int

  init(_ heads: CausalHeads, tokens: Int, slices: [Range<Int>]) {
    self.heads = heads
    self.slices = slices
    rows = tokens * heads.group
  }

  /// Floats of a matrix of all rows of a head, and of a number for each.
  private var matrix: Int { rows * heads.padded }
  private var column: Int { aligned(rows) }
  /// Queries, dOut, log-sum-exp and delta of each head, then dQueries of each slice and head.
  var floats: Int { heads.kvHeads * (2 * matrix + 2 * column + slices.count * matrix) }
  /// Floats that the kernel works in.
  var kernelScratch: Int { aligned(lagoon_attention_backward_scratch(heads.headDim)) }

  private typealias Memory = UnsafeMutableBufferPointer<Float>

  private func queries(_ head: Int) -> Int { head * (2 * matrix + 2 * column) }
  private func dOut(_ head: Int) -> Int { queries(head) + matrix }
  private func logSumExp(_ head: Int) -> Int { queries(head) + 2 * matrix }
  private func delta(_ head: Int) -> Int { logSumExp(head) + column }
  private func dQueries(_ head: Int, slice: Int) -> Int {
    queries(heads.kvHeads) + (slice * heads.kvHeads + head) * matrix
  }

  private func part(_ memory: Memory, _ start: Int, _ count: Int) -> Memory {
    UnsafeMutableBufferPointer(rebasing: memory[start..<start + count])
  }

  /// Packs a block's rows of one head, and takes `delta = Σ dOut ∘ out` of each.
  func pack(
    _ queries: UnsafeBufferPointer<Float>, _ out: UnsafeBufferPointer<Float>,
    _ logSumExp: UnsafeBufferPointer<Float>, _ dOut: UnsafeBufferPointer<Float>, head: Int,
    _ block: Range<Int>, _ memory: UnsafeMutableBufferPointer<Float>
  ) {
    let first = block.lowerBound * heads.group
    let count = block.count * heads.group * heads.padded
    heads.pack(
      queries, head, block, times: heads.scale,
      into: part(memory, self.queries(head) + first * heads.padded, count))
    let gradients = part(memory, self.dOut(head) + first * heads.padded, count)
    heads.pack(dOut, head, block, times: 1, into: gradients)
    for (row, token) in block.enumerated() {
      for member in 0..<heads.group {
        let index = row * heads.group + member
        let from = heads.element(token, head, member)
        memory[delta(head) + first + index] = lagoon_dot(
          gradients.part(index * heads.padded..<index * heads.padded + heads.headDim).baseAddress,
          out.part(from..<from + heads.headDim).baseAddress, heads.headDim)
        memory[self.logSumExp(head) + first + index] =
          logSumExp[token * heads.queryHeads + head * heads.group + member]
      }
    }
  }

  /// Adds the gradients of one head's keys and values of a slice, and sets those of the queries by it.
  ///
  /// - Parameters:
  ///   - from: position of the chunk.
  ///   - keys: `[slice, headDim]`, as all others are.
  func add(
    head: Int, slice: Int, from: Int, keys: UnsafeBufferPointer<Float>, values: UnsafeBufferPointer<Float>,
    dKeys: UnsafeMutableBufferPointer<Float>, dValues: UnsafeMutableBufferPointer<Float>,
    _ memory: UnsafeMutableBufferPointer<Float>, _ scratch: UnsafeMutableBufferPointer<Float>
  ) {
    let position = slices[slice].lowerBound
    // Rows before do not see the slice.
    let firstToken = max(0, position - from)
    let first = firstToken * heads.group
    let count = rows - first
    let floats = count * heads.padded
    let target = part(memory, dQueries(head, slice: slice) + first * heads.padded, floats)
    target.update(repeating: 0)
    guard let base = memory.baseAddress, let dQueries = target.baseAddress, let keys = keys.baseAddress,
      let values = values.baseAddress, let dKeys = dKeys.baseAddress, let dValues = dValues.baseAddress
    else { return }
    // Within `memory`: each address is that of `count` rows of its matrix or column.
    var rows = lagoon_query_gradient_rows(
      queries: base + queries(head) + first * heads.padded, dOut: base + dOut(head) + first * heads.padded,
      logSumExp: base + logSumExp(head) + first, delta: base + delta(head) + first, dQueries: dQueries,
      rows: count, group: heads.group, headDim: heads.headDim, firstPosition: Int64(from + firstToken),
      scale: 1, narrow: nil)
    var run = lagoon_gradient_run(
      keys: keys, values: values, count: slices[slice].count, firstPosition: Int64(position), dKeys: dKeys,
      dValues: dValues)
    lagoon_attend_backward(&rows, &run, 1, UInt8(LAGOON_F32), scratch.baseAddress)
  }

  /// Writes the gradients of a block's queries of one head, `[tokens, queryHeads, headDim]`.
  func finish(
    head: Int, _ block: Range<Int>, from: Int, into output: UnsafeMutableBufferPointer<Float>,
    _ memory: UnsafeMutableBufferPointer<Float>
  ) {
    for token in block {
      let seen = slices.prefix { $0.lowerBound <= from + token }.count
      for member in 0..<heads.group {
        let to = heads.element(token, head, member)
        let row = (token * heads.group + member) * heads.padded
        let sum = output.part(to..<to + heads.headDim)
        let first = dQueries(head, slice: 0) + row
        lagoon_scale(part(memory, first, sum.count).baseAddress, heads.scale, sum.baseAddress, sum.count)
        for slice in 1..<max(1, seen) {
          let more = part(memory, dQueries(head, slice: slice) + row, sum.count)
          lagoon_scale(more.baseAddress, heads.scale, more.baseAddress, sum.count)
          lagoon_add(sum.baseAddress, more.baseAddress, sum.baseAddress, sum.count)
        }
      }
    }
  }
}
