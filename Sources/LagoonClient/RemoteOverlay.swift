import LagKV
import LagoonProtocol

/// A private tail over a session's committed rows: for questions and generation, which change nothing.
public final class RemoteOverlay {
  /// The committed token count that it stands on; its own rows come behind.
  public let tokens: Int
  private let target: Target
  private var isOpen = true

  init(handle: UInt32, tokens: Int, connection: LagoonConnection) {
    self.tokens = tokens
    target = Target(connection: connection, handle: handle)
  }

  deinit { if isOpen { target.connection.exchange.abandon(closing) } }

  /// Stages rows; see ``RemoteSession/append(layer:keys:values:)``.
  public func append(layer: Int, keys: HostTensor, values: HostTensor) throws(LagoonError) {
    try target.append(layer: layer, keys: keys, values: values)
  }

  /// Stages rows and attends from them; see ``RemoteSession/step(layer:queries:keys:values:scale:)``.
  public func step(
    layer: Int, queries: HostTensor, keys: HostTensor, values: HostTensor, scale: Float? = nil
  ) throws(LagoonError) -> Attention {
    try Attention(of: queries) { (out, logSumExp) throws(LagoonError) in
      try target.step(
        layer: layer, queries: queries, keys: keys, values: values, scale: scale, into: out,
        logSumExp: logSumExp)
    }
  }

  /// As ``step(layer:queries:keys:values:scale:)``, into the caller's memory.
  /// - Returns: the token count attended over.
  @discardableResult
  public func step(
    layer: Int, queries: HostTensor, keys: HostTensor, values: HostTensor, scale: Float? = nil,
    into out: UnsafeMutableBufferPointer<Float>, logSumExp: UnsafeMutableBufferPointer<Float>
  ) throws(LagoonError) -> Int {
    try target.step(
      layer: layer, queries: queries, keys: keys, values: values, scale: scale, into: out,
      logSumExp: logSumExp)
  }

  /// Attention over the session's rows and the overlay's.
  public func attend(layer: Int, queries: HostTensor, scale: Float? = nil) throws(LagoonError) -> Attention {
    try Attention(of: queries) { (out, logSumExp) throws(LagoonError) in
      try target.attend(
        layer: layer, queries: queries, scale: scale, ifTokens: nil, into: out, logSumExp: logSumExp)
    }
  }

  /// Frees the staged rows. Dropping the object does it too, at the connection's next call.
  public func close() throws(LagoonError) {
    guard isOpen else { return }
    isOpen = false
    try target.connection.done(closing, "close_overlay")
  }

  private var closing: WireRequest.OneOf_Call {
    var call = WireCloseOverlay()
    call.handle = target.handle
    return .closeOverlay(call)
  }
}
