import LagoonClient
import Transformer

/// Attention of one training document through a daemon: on an archive session that grows on the first pass and is walked
/// backwards on the second.
public final class DaemonTrainingAttention: DocumentAttention {
  private let session: RemoteSession
  private let queryHeads: Int
  private let kvHeads: Int
  private let headDim: Int
  /// Tokens that each layer has seen.
  private var seen: [Int]
  private var pass: RemoteBackward?
  private let detachedBefore: (Int) -> Int
  private let onClose: () -> Void

  /// - Parameters:
  ///   - session: new and empty; with an archive if it will be walked backwards.
  ///   - chunk: most tokens of a call and of a commit.
  ///   - detachedBefore: for a chunk's first position, the position before which keys and values get no gradients from its
  ///     queries: at most the chunk's own, and descending with the chunks. Nothing is dropped where it is 0.
  ///   - onClose: called when the document is done with.
  public init(
    _ session: RemoteSession, _ configuration: ModelConfiguration, chunk: Int,
    detachedBefore: @escaping (_ first: Int) -> Int = { _ in 0 }, onClose: @escaping () -> Void = {}
  ) throws(LagoonError) {
    self.session = session
    self.detachedBefore = detachedBefore
    self.onClose = onClose
    queryHeads = configuration.queryHeads
    kvHeads = configuration.kvHeads
    headDim = configuration.headDim
    seen = Array(repeating: 0, count: configuration.layers)
    try session.begin(capacity: chunk)
  }

  public func commit(_ tokens: [UInt32]) throws {
    try session.commit(tokenIDs: tokens, keepWriting: true)
  }

  public func endForward() throws { try session.abort() }

  public func close() {
    // Their room is freed in any case when the session or the connection goes.
    try? pass?.close()
    pass = nil
    try? session.close()
    onClose()
  }

  public func chosenPositions() throws -> [[UInt32]]? {
    guard session.parameters.policy != .full else { return nil }
    return try seen.indices.flatMap { layer in
      let rows = try session.fetch(layer: layer, positionsOnly: true)
      return (0..<kvHeads).map { head in
        Array(rows.positions(head: head).dropLast(rows.windowRows).dropFirst(session.parameters.sinks))
      }
    }
  }

  public func step(
    layer: Int, queries: UnsafeBufferPointer<Float>, keys: UnsafeBufferPointer<Float>,
    values: UnsafeBufferPointer<Float>, tokens: Int, into out: UnsafeMutableBufferPointer<Float>
  ) throws {
    var sums = [Float](repeating: 0, count: tokens * queryHeads)
    try sums.withUnsafeMutableBufferPointer {
      try step(
        layer: layer, from: seen[layer], queries: queries, keys: keys, values: values, tokens: tokens,
        into: out,
        logSumExp: $0)
    }
  }

  public func step(
    layer: Int, from: Int, queries: UnsafeBufferPointer<Float>, keys: UnsafeBufferPointer<Float>,
    values: UnsafeBufferPointer<Float>, tokens: Int, into out: UnsafeMutableBufferPointer<Float>,
    logSumExp: UnsafeMutableBufferPointer<Float>
  ) throws {
    // The buffers are the pass's and stay as they are during this call, which is all that the tensors live for.
    let queries = HostTensor(borrowing: queries, tokens: tokens, heads: queryHeads, headDim: headDim)
    let keys = HostTensor(borrowing: keys, tokens: tokens, heads: kvHeads, headDim: headDim)
    let values = HostTensor(borrowing: values, tokens: tokens, heads: kvHeads, headDim: headDim)
    if from == seen[layer] {
      try session.step(
        layer: layer, queries: queries, keys: keys, values: values, into: out, logSumExp: logSumExp)
      seen[layer] += tokens
    } else {
      try session.stepAt(
        layer: layer, first: from, queries: queries, rows: (keys, values), into: out, logSumExp: logSumExp)
    }
  }

  public func stepBackward(
    layer: Int, from: Int, queries: UnsafeBufferPointer<Float>, out: UnsafeBufferPointer<Float>,
    logSumExp: UnsafeBufferPointer<Float>, dOut: UnsafeBufferPointer<Float>, tokens: Int,
    dQueries: UnsafeMutableBufferPointer<Float>, dKeys: UnsafeMutableBufferPointer<Float>,
    dValues: UnsafeMutableBufferPointer<Float>
  ) throws {
    let detachedBefore = detachedBefore(from)
    let pass = try self.pass ?? session.beginBackward(detachedBefore: detachedBefore)
    self.pass = pass
    func tensor(_ floats: UnsafeBufferPointer<Float>, _ channels: Int) -> HostTensor {
      HostTensor(borrowing: floats, tokens: tokens, heads: queryHeads, headDim: channels)
    }
    try pass.step(
      layer: layer, first: from, queries: tensor(queries, headDim),
      attention: (tensor(out, headDim), tensor(logSumExp, 1)), dOut: tensor(dOut, headDim),
      detachedBefore: detachedBefore, into: (dQueries, dKeys, dValues))
  }

  /// Bytes of an arena through which calls of up to `chunk` tokens travel: queries, out, its gradient and the queries' own, keys
  /// and values and theirs, and log-sum-exp, in f32, each rounded up to 64 bytes, in whole pages.
  public static func arenaBytes(_ configuration: ModelConfiguration, chunk: Int) -> Int {
    let c = configuration
    let elements = chunk * (4 * c.queryHeads + 4 * c.kvHeads) * c.headDim + 2 * chunk * c.queryHeads
    return (elements * 4 + 10 * 64 + 4095) / 4096 * 4096
  }
}
