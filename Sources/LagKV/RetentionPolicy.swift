import Kernels

/// Contiguous rows of one KV head: keys and values `[count, headDim]`, row-major, in the session's element
/// type, at any alignment. A view: the memory must stay alive and unchanged while a policy reads it.
public struct RowBlock {
  public let keys: UnsafeRawPointer
  public let values: UnsafeRawPointer
  public let count: Int

  public init(keys: UnsafeRawPointer, values: UnsafeRawPointer, count: Int) {
    self.keys = keys
    self.values = values
    self.count = count
  }
}

/// Which partition is being scored, and what its rows look like.
public struct PartitionPlace: Sendable, Hashable {
  public let layer: Int
  public let head: Int
  public let partition: Int
  /// Tokens per partition: the rows that the blocks of `partition` and of `reference` add up to.
  public let lag: Int
  public let headDim: Int
  public let elementType: ElementType

  public init(layer: Int, head: Int, partition: Int, lag: Int, headDim: Int, elementType: ElementType) {
    self.layer = layer
    self.head = head
    self.partition = partition
    self.lag = lag
    self.headDim = headDim
    self.elementType = elementType
  }
}

/// A rule that picks the rows to keep of one partition of one KV head, when the next partition (`reference`)
/// is complete. It depends on nothing but its arguments and the parameters it was made with.
public protocol RetentionPolicy: Sendable {
  /// Positions relative to the partition's start, ascending, exactly `keep` of them. Ties go to the lower
  /// position. Elements are finite; `0 ≤ keep ≤ place.lag`.
  ///
  /// - Parameter following: the reference of the call that comes next, a hint: it may be fetched meanwhile. It does not change
  ///   what is selected.
  func select(
    keep: Int, partition: [RowBlock], reference: [RowBlock], following: [RowBlock], at place: PartitionPlace
  ) -> [UInt32]
}

extension RetentionPolicy {
  /// Without a hint of what comes next.
  public func select(
    keep: Int, partition: [RowBlock], reference: [RowBlock], at place: PartitionPlace
  ) -> [UInt32] {
    select(keep: keep, partition: partition, reference: reference, following: [], at: place)
  }
}

extension RetentionParameters {
  /// The rule that ``policy`` names.
  public func makePolicy() -> any RetentionPolicy {
    switch policy {
    case .lagkv: LagKVPolicy(valueWeight: Float(valueWeight))
    case .l2norm: KeyNormPolicy()
    case .streaming: StreamingPolicy()
    case .random: RandomPolicy(seed: seed, sinks: sinks)
    case .full: FullPolicy()
    }
  }
}

/// The positions of the `keep` highest scores, ascending; of equal ones the lower position.
///
/// - Parameter scores: not NaN.
func highestPositions(keep: Int, of scores: [Float]) -> [UInt32] {
  precondition((0...scores.count).contains(keep))
  guard keep > 0 else { return [] }
  return withUnsafeTemporaryAllocation(of: Int32.self, capacity: scores.count) { scratch in
    [UInt32](unsafeUninitializedCapacity: keep) { positions, count in
      lagoon_select_highest(scores, scores.count, keep, positions.baseAddress, scratch.baseAddress)
      count = keep
    }
  }
}

/// The `keep` first of `0..<count` in the order that `precedes` gives, ties to the lower position; ascending.
func firstPositions(
  keep: Int, of count: Int, where precedes: (_ a: Int, _ b: Int) -> Bool
) -> [UInt32] {
  precondition((0...count).contains(keep))
  if keep == 0 { return [] }
  if keep == count { return (0..<UInt32(count)).map { $0 } }
  let order = (0..<count).sorted { a, b in
    if precedes(a, b) { return true }
    if precedes(b, a) { return false }
    return a < b
  }
  return order.prefix(keep).sorted().map(UInt32.init)
}
