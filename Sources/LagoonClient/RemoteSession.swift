import LagKV
import LagoonProtocol

/// An open session. To write: ``begin(capacity:)``, then ``append(layer:keys:values:)`` or
/// ``step(layer:queries:keys:values:scale:)`` for every layer, then ``commit(tokenIDs:keepWriting:)``.
public final class RemoteSession: RemoteTail {
  public let parameters: SessionParameters
  /// As of the daemon's last reply about this session.
  public private(set) var info: SessionInfo
  private var isOpen = true

  init(handle: UInt32, info: SessionInfo, connection: LagoonConnection) {
    parameters = info.parameters
    self.info = info
    super.init(Target(connection: connection, handle: handle))
  }

  deinit { if isOpen { target.connection.exchange.abandon(closing) } }

  /// Makes this session's one writer of this connection, until a commit without `keepWriting`, ``abort()`` or the end.
  ///
  /// - Parameter capacity: most tokens staged, in each layer, between commits.
  /// - Throws: `busy` if another connection writes, `stagingFull`, `tooLarge`.
  public func begin(capacity: Int) throws(LagoonError) {
    var call = WireBegin()
    call.handle = target.handle
    call.capacityTokens = try wireCount(capacity, "a capacity")
    try update(.begin(call), "begin")
  }

  /// The attention of committed tokens once more, with the bits that ``step(layer:queries:keys:values:scale:)`` gave: what a
  /// backward pass recomputes. Tokens that have left the window need a session with an archive.
  ///
  /// - Parameters:
  ///   - first: position of the first token.
  ///   - queries: `[tokens, queryHeads, headDim]` (or head-major).
  ///   - rows: recomputed keys and values, `[tokens, kvHeads, headDim]`; nil: not checked.
  /// - Throws: `recomputeMismatch` if `rows`, rounded to the session's element type, are not the stored bits.
  public func stepAt(
    layer: Int, first: Int, queries: HostTensor, rows: (keys: HostTensor, values: HostTensor)? = nil,
    scale: Float? = nil
  ) throws(LagoonError) -> Attention {
    try Attention(of: queries) { (out, logSumExp) throws(LagoonError) in
      try target.stepAt(
        layer: layer, first: first, queries: queries, rows: rows, scale: scale, into: out,
        logSumExp: logSumExp)
      return first + queries.tokens
    }
  }

  /// As ``stepAt(layer:first:queries:rows:scale:)``, into the caller's memory.
  public func stepAt(
    layer: Int, first: Int, queries: HostTensor, rows: (keys: HostTensor, values: HostTensor)? = nil,
    scale: Float? = nil, into out: UnsafeMutableBufferPointer<Float>,
    logSumExp: UnsafeMutableBufferPointer<Float>
  ) throws(LagoonError) {
    try target.stepAt(
      layer: layer, first: first, queries: queries, rows: rows, scale: scale, into: out, logSumExp: logSumExp)
  }

  /// Begins a backward pass over the session's tokens, which must not grow until it ends.
  ///
  /// - Parameter detachedBefore: what the first step will say: the daemon takes disk for gradients of tokens from there on, and
  ///   for those before as the steps descend.
  /// - Throws: `invalidArgument` without an archive, `quotaExceeded`, `diskFull`.
  public func beginBackward(detachedBefore: Int = 0) throws(LagoonError) -> RemoteBackward {
    var call = WireBeginBackward()
    call.handle = target.handle
    call.detachedBefore = try wireCount(detachedBefore, "a session")
    let exchange = target.connection.exchange
    guard case .backward(let reply)? = try exchange.call(.beginBackward(call)).result else {
      throw exchange.unexpectedReply("begin_backward")
    }
    return RemoteBackward(reply, kvHeads: parameters.kvHeads, connection: target.connection)
  }

  /// Makes the staged rows permanent, in all layers or none. When this returns, they survive the daemon's death.
  ///
  /// - Parameters:
  ///   - tokenIDs: of the staged tokens, in order.
  ///   - keepWriting: stay the writer, with an empty tail.
  /// - Throws: `layersUneven`, `notBegun`, `quotaExceeded`, `diskFull`, `tooLarge`.
  public func commit(tokenIDs: [UInt32], keepWriting: Bool = false) throws(LagoonError) {
    var call = WireCommit()
    call.handle = target.handle
    call.tokenIds = tokenIDs
    call.keepWriting = keepWriting
    try update(.commit(call), "commit")
  }

  /// Throws the staged rows away and stops writing.
  public func abort() throws(LagoonError) {
    var call = WireAbort()
    call.handle = target.handle
    try update(.abort(call), "abort")
  }

  /// Attention over all committed rows that the layer keeps.
  ///
  /// - Parameters:
  ///   - queries: `[tokens, queryHeads, headDim]` (or head-major).
  ///   - scale: nil: 1/√headDim.
  ///   - ifTokens: refused with `moved` unless the session stands at this token count.
  public func attend(
    layer: Int, queries: HostTensor, scale: Float? = nil, ifTokens: Int? = nil
  ) throws(LagoonError) -> Attention {
    try Attention(of: queries) { (out, logSumExp) throws(LagoonError) in
      try target.attend(
        layer: layer, queries: queries, scale: scale, ifTokens: ifTokens, into: out, logSumExp: logSumExp)
    }
  }

  /// As ``attend(layer:queries:scale:ifTokens:)``, into the caller's memory.
  /// - Returns: the token count attended over.
  @discardableResult
  public func attend(
    layer: Int, queries: HostTensor, scale: Float? = nil, ifTokens: Int? = nil,
    into out: UnsafeMutableBufferPointer<Float>, logSumExp: UnsafeMutableBufferPointer<Float>
  ) throws(LagoonError) -> Int {
    try target.attend(
      layer: layer, queries: queries, scale: scale, ifTokens: ifTokens, into: out, logSumExp: logSumExp)
  }

  /// A private tail over the committed rows, never committed; any number of them per session.
  ///
  /// - Parameter capacity: most tokens staged.
  public func overlay(capacity: Int, ifTokens: Int? = nil) throws(LagoonError) -> RemoteOverlay {
    var call = WireCreateOverlay()
    call.handle = target.handle
    call.capacityTokens = try wireCount(capacity, "a capacity")
    if let ifTokens { call.ifTokens = try wireCount(ifTokens, "a session") }
    let exchange = target.connection.exchange
    guard case .overlay(let reply)? = try exchange.call(.createOverlay(call)).result else {
      throw exchange.unexpectedReply("create_overlay")
    }
    return RemoteOverlay(
      handle: reply.handle, tokens: Int(clamping: reply.tokens), connection: target.connection)
  }

  /// Rows that a layer keeps, with their positions, in order of position: kept rows first, the window's last.
  ///
  /// - Parameters:
  ///   - rows: of each head; nil: all.
  ///   - positionsOnly: leave keys and values out.
  ///   - ifTokens: refused with `moved` unless the session stands at this token count.
  /// - Throws: `moved` also if a commit lands between two of the replies that a long range takes.
  public func fetch(
    layer: Int, rows: Range<Int>? = nil, positionsOnly: Bool = false, ifTokens: Int? = nil
  ) throws(LagoonError) -> FetchedRows {
    try RowFetcher(
      connection: target.connection, handle: target.handle, parameters: parameters, layer: layer,
      positionsOnly: positionsOnly
    ).fetch(rows, ifTokens: ifTokens)
  }

  /// Closes the session; a writer is aborted. Dropping the object closes it too, at the connection's next call.
  public func close() throws(LagoonError) {
    guard isOpen else { return }
    isOpen = false
    try target.connection.done(closing, "close_session")
  }

  private var closing: WireRequest.OneOf_Call {
    var call = WireCloseSession()
    call.handle = target.handle
    return .closeSession(call)
  }

  private func update(_ call: WireRequest.OneOf_Call, _ name: String) throws(LagoonError) {
    let exchange = target.connection.exchange
    guard case .session(let reply)? = try exchange.call(call).result else {
      throw exchange.unexpectedReply(name)
    }
    info = try target.connection.info(reply.state)
  }
}
