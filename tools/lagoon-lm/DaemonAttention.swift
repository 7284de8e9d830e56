import LagoonClient
import Transformer

/// Attention of the forward pass through a daemon: on a session that this command writes, or on an overlay.
final class DaemonAttention: StepAttention {
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

  convenience init(_ session: RemoteSession, _ configuration: ModelConfiguration) {
    self.init(.session(session), configuration)
  }

  convenience init(_ overlay: RemoteOverlay, _ configuration: ModelConfiguration) {
    self.init(.overlay(overlay), configuration)
  }

  func step(
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
