import LagoonClient
import Transformer

/// Attention of the forward pass through a daemon: on a session that this program writes, or on an overlay.
public final class DaemonAttention: StepAttention {
  private enum Target {
    case session(RemoteSession)
    case overlay(RemoteOverlay)
  }

  private let target: Target
  private let queryHeads: Int
  private let kvHeads: Int
  private let headDim: Int
  /// Receives what the forward pass has no use for.
  private var logSumExp: [Float] = []

  private init(_ target: Target, _ configuration: ModelConfiguration) {
    self.target = target
    queryHeads = configuration.queryHeads
    kvHeads = configuration.kvHeads
    headDim = configuration.headDim
  }

  /// The session must have begun.
  public convenience init(_ session: RemoteSession, _ configuration: ModelConfiguration) {
    self.init(.session(session), configuration)
  }

  public convenience init(_ overlay: RemoteOverlay, _ configuration: ModelConfiguration) {
    self.init(.overlay(overlay), configuration)
  }

  /// Bytes of an arena through which calls of up to `chunk` tokens travel: queries, keys, values, output and log-sum-exp
  /// in f32, each rounded up to 64 bytes, in whole pages.
  public static func arenaBytes(_ configuration: ModelConfiguration, chunk: Int) -> Int {
    let c = configuration
    let elements = chunk * (2 * c.queryHeads + 2 * c.kvHeads) * c.headDim + chunk * c.queryHeads
    return (elements * 4 + 5 * 64 + 4095) / 4096 * 4096
  }

  public func step(
    layer: Int, queries: UnsafeBufferPointer<Float>, keys: UnsafeBufferPointer<Float>,
    values: UnsafeBufferPointer<Float>, tokens: Int, into out: UnsafeMutableBufferPointer<Float>
  ) throws {
    // The buffers are the forward pass's and stay as they are during this call, which is all that the tensors live for.
    let queries = HostTensor(borrowing: queries, tokens: tokens, heads: queryHeads, headDim: headDim)
    let keys = HostTensor(borrowing: keys, tokens: tokens, heads: kvHeads, headDim: headDim)
    let values = HostTensor(borrowing: values, tokens: tokens, heads: kvHeads, headDim: headDim)
    let count = tokens * queryHeads
    if logSumExp.count < count { logSumExp = [Float](repeating: 0, count: count) }
    try logSumExp.withUnsafeMutableBufferPointer { buffer in
      let logSumExp = UnsafeMutableBufferPointer(rebasing: buffer[..<count])
      switch target {
      case .session(let session):
        _ = try session.step(
          layer: layer, queries: queries, keys: keys, values: values, into: out, logSumExp: logSumExp)
      case .overlay(let overlay):
        _ = try overlay.step(
          layer: layer, queries: queries, keys: keys, values: values, into: out, logSumExp: logSumExp)
      }
    }
  }
}
