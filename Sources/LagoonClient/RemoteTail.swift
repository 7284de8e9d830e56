import LagKV

/// Rows staged behind the committed ones: what a session's writer and an overlay have in common.
public class RemoteTail {
  let target: Target

  init(_ target: Target) { self.target = target }

  /// Stages rows behind those that the layer has.
  ///
  /// - Parameters:
  ///   - keys: `[tokens, kvHeads, headDim]` (or head-major), after RoPE.
  ///   - values: of the same shape.
  /// - Throws: `notBegun`, `nonFinite` (naming layer, head, token and channel), `tooLarge`, `stagingFull`; none of the rows
  ///   are staged then.
  public func append(layer: Int, keys: HostTensor, values: HostTensor) throws(LagoonError) {
    try target.append(layer: layer, keys: keys, values: values)
  }

  /// Stages rows and attends from them: LRSA attention, the same however a document is cut into calls.
  ///
  /// - Parameters:
  ///   - queries: `[tokens, queryHeads, headDim]` (or head-major); `queryHeads` is a multiple of `kvHeads`.
  ///   - scale: nil: 1/√headDim.
  /// - Throws: as ``append(layer:keys:values:)``, and `invalidArgument` for queries of another shape.
  public func step(
    layer: Int, queries: HostTensor, keys: HostTensor, values: HostTensor, scale: Float? = nil
  ) throws(LagoonError) -> Attention {
    try Attention(of: queries) { (out, logSumExp) throws(LagoonError) in
      try target.step(
        layer: layer, queries: queries, keys: keys, values: values, scale: scale, into: out,
        logSumExp: logSumExp)
    }
  }

  /// As ``step(layer:queries:keys:values:scale:)``, into the caller's memory: `out` as many floats as the queries have
  /// elements, `logSumExp` one per query and head.
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
}
