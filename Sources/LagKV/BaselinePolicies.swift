import Kernels

/// Keeps the keys of least L2 norm (the LagKV paper's baseline; arXiv 2406.11430). Compares sums of squares in
/// f32, in the defined order of summation.
public struct KeyNormPolicy: RetentionPolicy {
  public init() {}

  public func select(
    keep: Int, partition: [RowBlock], reference: [RowBlock], following: [RowBlock], at place: PartitionPlace
  ) -> [UInt32] {
    precondition(partition.reduce(0) { $0 + $1.count } == place.lag, "the partition's rows are its lag")
    precondition((1...Int(LAGOON_MAX_HEAD_DIM)).contains(place.headDim))
    var sums = [Float](repeating: 0, count: place.lag)
    sums.withUnsafeMutableBufferPointer { sums in
      // Blocks fill the buffer one behind the other; they add up to its length.
      guard var next = sums.baseAddress else { return }
      for block in partition {
        lagoon_square_sums(block.keys, place.elementType.rawValue, block.count, place.headDim, next)
        next += block.count
      }
    }
    return highestPositions(keep: keep, of: sums.map { -$0 })
  }
}

/// Sinks and window only: sessions with this policy keep 0 rows per partition. Asked for more, it gives the
/// latest.
public struct StreamingPolicy: RetentionPolicy {
  public init() {}

  public func select(
    keep: Int, partition: [RowBlock], reference: [RowBlock], following: [RowBlock], at place: PartitionPlace
  ) -> [UInt32] {
    firstPositions(keep: keep, of: place.lag, where: >)
  }
}

/// Keeps every token: sessions with this policy keep the whole lag. Asked for fewer, it gives the first.
public struct FullPolicy: RetentionPolicy {
  public init() {}

  public func select(
    keep: Int, partition: [RowBlock], reference: [RowBlock], following: [RowBlock], at place: PartitionPlace
  ) -> [UInt32] {
    firstPositions(keep: keep, of: place.lag) { _, _ in false }
  }
}

/// Keeps the tokens with the least hash of (seed, layer, head, absolute position): no state, so the choice is
/// the same however the document was cut.
public struct RandomPolicy: RetentionPolicy {
  public let seed: UInt64
  /// Where partition 0 starts.
  public let sinks: Int

  public init(seed: UInt64, sinks: Int) {
    self.seed = seed
    self.sinks = sinks
  }

  public func select(
    keep: Int, partition: [RowBlock], reference: [RowBlock], following: [RowBlock], at place: PartitionPlace
  ) -> [UInt32] {
    let head = [UInt64(place.layer), UInt64(place.head)].reduce(mix(seed)) { mix($0 ^ $1) }
    let start = UInt64(sinks + place.partition * place.lag)
    let order = (0..<UInt64(place.lag)).map { mix(head ^ (start + $0)) }
    return firstPositions(keep: keep, of: place.lag) { order[$0] < order[$1] }
  }

  /// The finaliser of SplitMix64 after one step of its counter: a bijection, so equal inputs alone collide.
  private func mix(_ x: UInt64) -> UInt64 {
    var z = x &+ 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
