import LagKV
import LagoonProtocol

/// A private tail over a session's committed rows: for questions and generation, which change nothing.
public final class RemoteOverlay: RemoteTail {
  /// The committed token count that it stands on; its own rows come behind.
  public let tokens: Int
  private var isOpen = true

  init(handle: UInt32, tokens: Int, connection: LagoonConnection) {
    self.tokens = tokens
    super.init(Target(connection: connection, handle: handle))
  }

  deinit { if isOpen { target.connection.exchange.abandon(closing) } }

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
