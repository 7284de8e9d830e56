import Transformer

/// Full attention of a run's documents, in this process: for contexts short enough that K and V of all their tokens fit into
/// memory several times over.
public final class DenseAttentionSource: AttentionSource {
  private let configuration: ModelConfiguration
  private let compute: Compute
  private let capacity: Int
  /// Memory that no document uses at the moment.
  private var free: [CausalTrainingAttention] = []

  /// - Parameter capacity: most tokens of a document.
  public init(_ configuration: ModelConfiguration, compute: Compute, capacity: Int) {
    self.configuration = configuration
    self.compute = compute
    self.capacity = capacity
  }

  public func attention(document number: Int?, tokens: Int) -> DenseDocumentAttention {
    let attention =
      free.popLast() ?? CausalTrainingAttention(configuration, compute: compute, capacity: capacity)
    attention.reset()
    return DenseDocumentAttention(attention) { [weak self] in self?.free.append(attention) }
  }

  /// Nothing here is on a disk.
  public func checkRoom(for bytes: Int) {}

  /// Nothing here can go away.
  public func recover(from error: any Error, giveUp: () -> Bool) -> Bool { false }
}

/// Full attention of one document, in memory that goes on to the next.
public final class DenseDocumentAttention: DocumentAttention {
  private let attention: CausalTrainingAttention
  private var giveBack: (() -> Void)?

  init(_ attention: CausalTrainingAttention, giveBack: @escaping () -> Void) {
    self.attention = attention
    self.giveBack = giveBack
  }

  public func commit(_ tokens: [UInt32]) {}
  public func endForward() {}
  public func chosenPositions() -> [[UInt32]]? { nil }

  public func close() {
    giveBack?()
    giveBack = nil
  }

  public func step(
    layer: Int, queries: UnsafeBufferPointer<Float>, keys: UnsafeBufferPointer<Float>,
    values: UnsafeBufferPointer<Float>, tokens: Int, into out: UnsafeMutableBufferPointer<Float>
  ) throws {
    try attention.step(layer: layer, queries: queries, keys: keys, values: values, tokens: tokens, into: out)
  }

  public func step(
    layer: Int, from: Int, queries: UnsafeBufferPointer<Float>, keys: UnsafeBufferPointer<Float>,
    values: UnsafeBufferPointer<Float>, tokens: Int, into out: UnsafeMutableBufferPointer<Float>,
    logSumExp: UnsafeMutableBufferPointer<Float>
  ) throws {
    try attention.step(
      layer: layer, from: from, queries: queries, keys: keys, values: values, tokens: tokens, into: out,
      logSumExp: logSumExp)
  }

  public func stepBackward(
    layer: Int, from: Int, queries: UnsafeBufferPointer<Float>, out: UnsafeBufferPointer<Float>,
    logSumExp: UnsafeBufferPointer<Float>, dOut: UnsafeBufferPointer<Float>, tokens: Int,
    dQueries: UnsafeMutableBufferPointer<Float>, dKeys: UnsafeMutableBufferPointer<Float>,
    dValues: UnsafeMutableBufferPointer<Float>
  ) throws {
    try attention.stepBackward(
      layer: layer, from: from, queries: queries, out: out, logSumExp: logSumExp, dOut: dOut, tokens: tokens,
      dQueries: dQueries, dKeys: dKeys, dValues: dValues)
  }
}
