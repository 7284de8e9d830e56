import LagoonProtocol
import SparseAttention

/// Where the gradients of one call go: of queries, keys and values, f32, one behind the other, laid out as the queries are.
struct GradientRegion {
  let dQueries: MutableTensorView
  let dKeys: MutableTensorView
  let dValues: MutableTensorView
  let bytes: UnsafeMutableRawBufferPointer
  let isInArena: Bool
  private(set) var reply = WireGradientReply()

  /// Bytes that the gradients take, or nil beyond all memory.
  static func byteCount(for queries: TensorView, kvHeads: Int) -> Int? {
    let (rows, overflow) = queries.tokens.multipliedReportingOverflow(by: queries.heads + 2 * kvHeads)
    let (bytes, tooMany) = rows.multipliedReportingOverflow(by: queries.headDim * 4)
    return overflow || tooMany ? nil : bytes
  }

  /// - Parameters:
  ///   - bytes: exactly ``byteCount(for:kvHeads:)`` bytes, writable until the reply is sent.
  ///   - arenaOffset: of `bytes` in the arena; nil: they are sent inline.
  init(
    _ bytes: UnsafeMutableRawBufferPointer, for queries: TensorView, layout: WireTensor.Layout, kvHeads: Int,
    arenaOffset: UInt64?
  ) throws(CallError) {
    guard let start = bytes.baseAddress else { throw CallError(.internal, "gradients have no memory") }
    let queryBytes = queries.tokens * queries.heads * queries.headDim * 4
    let keyBytes = queries.tokens * kvHeads * queries.headDim * 4
    precondition(bytes.count == queryBytes + 2 * keyBytes)
    self.bytes = bytes
    isInArena = arenaOffset != nil
    func place(_ offset: Int, _ heads: Int) -> (MutableTensorView, WireTensor) {
      var tensor = WireTensor()
      tensor.elementType = .float32
      tensor.layout = layout
      tensor.tokens = UInt32(queries.tokens)
      tensor.heads = UInt32(heads)
      tensor.headDim = UInt32(queries.headDim)
      tensor.place =
        arenaOffset.map { .arenaOffset($0 + UInt64(offset)) } ?? .inlineOffset(UInt64(offset))
      let view: MutableTensorView =
        layout == .headMajor
        ? .headMajor(start + offset, tokens: queries.tokens, heads: heads, headDim: queries.headDim)
        : .tokenMajor(start + offset, tokens: queries.tokens, heads: heads, headDim: queries.headDim)
      return (view, tensor)
    }
    (dQueries, reply.dQueries) = place(0, queries.heads)
    (dKeys, reply.dKeys) = place(queryBytes, kvHeads)
    (dValues, reply.dValues) = place(queryBytes + keyBytes, kvHeads)
  }
}
