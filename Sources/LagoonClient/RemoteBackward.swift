import LagoonProtocol

/// The gradients of one chunk in one layer, f32, in the layout of its queries.
public struct AttentionGradients: Sendable, Hashable {
  /// `[tokens, queryHeads, headDim]`
  public var queries: [Float]
  /// `[tokens, kvHeads, headDim]`: all that these tokens' keys get, from any query of the session.
  public var keys: [Float]
  public var values: [Float]

  public init(queries: [Float], keys: [Float], values: [Float]) {
    self.queries = queries
    self.keys = keys
    self.values = values
  }
}

/// The backward pass of LRSA attention over a session: chunks descend without gaps, and in each the layers go from the last to
/// the first. Its accumulators are on the daemon's disk and go with this object, or with the connection.
public final class RemoteBackward {
  /// The session's tokens.
  public let tokens: Int
  /// Bytes of the accumulators when the pass began.
  public let scratchBytes: Int
  private let kvHeads: Int
  private let target: Target
  private var isOpen = true

  init(_ reply: WireBackwardReply, kvHeads: Int, connection: LagoonConnection) {
    tokens = Int(clamping: reply.tokens)
    scratchBytes = Int(clamping: reply.scratchBytes)
    self.kvHeads = kvHeads
    target = Target(connection: connection, handle: reply.handle)
  }

  deinit { if isOpen { target.connection.exchange.abandon(closing) } }

  /// The next chunk and layer. A call may be sent again, as it was, and gives the same once more.
  ///
  /// - Parameters:
  ///   - first: position of the chunk's first token.
  ///   - queries: `[tokens, queryHeads, headDim]` (or head-major), as in the forward pass.
  ///   - attention: what ``RemoteSession/stepAt(layer:first:queries:rows:scale:)`` gives for them.
  ///   - dOut: the gradient of its `out`, in the queries' shape and layout.
  ///   - dLogSumExp: the gradient of its log-sum-exp, of that shape; nil: 0.
  ///   - detachedBefore: gradients to keys and values of tokens before this one are dropped; the queries see them all the same, and
  ///     their own gradients know of them. At most `first`, the same for all layers of a chunk, and not more than for the chunk
  ///     before: for backpropagation through `n` chunks, `max(0, first − n · chunk)`.
  /// - Throws: `badOrder`, `backwardLost` (begin again), `moved` (the session has grown), `nonFinite`, `quotaExceeded` and
  ///   `diskFull` where the accumulators grow (the call may be sent again).
  public func step(
    layer: Int, first: Int, queries: HostTensor, attention: Attention, dOut: HostTensor,
    dLogSumExp: [Float]? = nil, scale: Float? = nil, detachedBefore: Int = 0
  ) throws(LagoonError) -> AttentionGradients {
    func tensor(_ floats: [Float], headDim: Int) -> HostTensor {
      HostTensor(
        floats: floats, tokens: queries.tokens, heads: queries.heads, headDim: headDim, layout: queries.layout
      )
    }
    let keyCount = queries.tokens * kvHeads * queries.headDim
    var gradients = AttentionGradients(
      queries: [Float](repeating: 0, count: queries.elementCount),
      keys: [Float](repeating: 0, count: keyCount),
      values: [Float](repeating: 0, count: keyCount))
    try gradients.queries.withUnsafeMutableBufferPointer { dQueries throws(LagoonError) in
      try gradients.keys.withUnsafeMutableBufferPointer { dKeys throws(LagoonError) in
        try gradients.values.withUnsafeMutableBufferPointer { dValues throws(LagoonError) in
          try target.stepBackward(
            layer: layer, first: first, queries: queries,
            attention: (
              tensor(attention.out, headDim: queries.headDim), tensor(attention.logSumExp, headDim: 1)
            ),
            gradient: (dOut, dLogSumExp.map { tensor($0, headDim: 1) }), scale: scale,
            detachedBefore: detachedBefore, into: [dQueries, dKeys, dValues])
        }
      }
    }
    return gradients
  }

  /// As ``step(layer:first:queries:attention:dOut:dLogSumExp:scale:detachedBefore:)``, from and into the caller's memory.
  ///
  /// - Parameters:
  ///   - attention: `logSumExp` has one channel.
  ///   - results: as many floats as queries, keys and values of the chunk have elements.
  public func step(
    layer: Int, first: Int, queries: HostTensor, attention: (out: HostTensor, logSumExp: HostTensor),
    dOut: HostTensor, dLogSumExp: HostTensor? = nil, scale: Float? = nil, detachedBefore: Int = 0,
    into results: (
      dQueries: UnsafeMutableBufferPointer<Float>, dKeys: UnsafeMutableBufferPointer<Float>,
      dValues: UnsafeMutableBufferPointer<Float>
    )
  ) throws(LagoonError) {
    let keyCount = queries.tokens * kvHeads * queries.headDim
    precondition(results.dQueries.count == queries.elementCount)
    precondition(results.dKeys.count == keyCount && results.dValues.count == keyCount)
    try target.stepBackward(
      layer: layer, first: first, queries: queries, attention: attention, gradient: (dOut, dLogSumExp),
      scale: scale, detachedBefore: detachedBefore, into: [results.dQueries, results.dKeys, results.dValues])
  }

  /// Ends the pass and frees its accumulators. Dropping the object does it too, at the connection's next call.
  public func close() throws(LagoonError) {
    guard isOpen else { return }
    isOpen = false
    try target.connection.done(closing, "end_backward")
  }

  private var closing: WireRequest.OneOf_Call {
    var call = WireEndBackward()
    call.handle = target.handle
    return .endBackward(call)
  }
}
