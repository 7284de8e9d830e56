import Kernels

/// The lag-relative score of LagKV (arXiv 2504.04704), causal, per KV head.
///
/// For the keys, per channel, `min` and `max` over the tokens of the next partition; `K̄ = (K − min) / (max − min)`,
/// 0 in a channel without range; `score_K` is the softmax over the partition's tokens of the unbiased standard
/// deviation over the channels of `K̄`; likewise for the values; `score = score_K + valueWeight * score_V`.
/// Computed in f32 from the rounded rows with a defined order of summation: the same bits on every CPU.
public struct LagKVPolicy: RetentionPolicy {
  /// The weight of the values' score.
  public let valueWeight: Float

  public init(valueWeight: Float = 1) {
    self.valueWeight = valueWeight
  }

  public func select(
    keep: Int, partition: [RowBlock], reference: [RowBlock], following: [RowBlock], at place: PartitionPlace
  ) -> [UInt32] {
    if keep == 0 || keep == place.lag {
      return firstPositions(keep: keep, of: place.lag) { _, _ in false }
    }
    return highestPositions(
      keep: keep,
      of: scores(partition: partition, reference: reference, following: following, at: place))
  }

  /// The score of every token of `partition`, f32 `[lag]`.
  ///
  /// - Parameter following: see ``RetentionPolicy/select(keep:partition:reference:following:at:)``.
  public func scores(
    partition: [RowBlock], reference: [RowBlock], following: [RowBlock] = [], at place: PartitionPlace
  ) -> [Float] {
    precondition(partition.reduce(0) { $0 + $1.count } == place.lag, "the partition's rows are its lag")
    precondition((1...Int(LAGOON_MAX_HEAD_DIM)).contains(place.headDim))
    return [Float](unsafeUninitializedCapacity: place.lag) { scores, count in
      scores.initialize(repeating: 0)
      count = place.lag
      let runs = 2 * (partition.count + reference.count) + following.count
      withUnsafeTemporaryAllocation(of: lagoon_row_run.self, capacity: runs) { memory in
        var lists = RunLists(memory)
        let keys = lists.add(partition) { $0.keys }
        let values = lists.add(partition) { $0.values }
        let leadingKeys = lists.add(reference) { $0.keys }
        let leadingValues = lists.add(reference) { $0.values }
        let next = lists.add(following) { $0.keys }
        addScores(of: keys, leading: leadingKeys, next: leadingValues, weight: 1, place, to: scores)
        addScores(of: values, leading: leadingValues, next: next, weight: valueWeight, place, to: scores)
      }
    }
  }

  /// - Parameter next: what will be read next.
  private func addScores(
    of rows: RunLists.List, leading: RunLists.List, next: RunLists.List, weight: Float,
    _ place: PartitionPlace,
    to scores: UnsafeMutableBufferPointer<Float>
  ) {
    let type = place.elementType.rawValue
    let headDim = place.headDim
    withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * headDim + place.lag) { memory in
      guard let minimum = memory.baseAddress else { return }
      let (maximum, deviations) = (minimum + headDim, minimum + 2 * headDim)
      minimum.initialize(repeating: .infinity, count: headDim)
      maximum.initialize(repeating: -.infinity, count: headDim)
      lagoon_channel_range(leading.baseAddress, leading.count, type, headDim, minimum, maximum)
      // `scores` checked that the blocks add up to the buffer's length.
      lagoon_normalised_std(
        rows.baseAddress, rows.count, next.baseAddress, next.count, type, headDim, minimum, maximum,
        deviations)
      lagoon_add_softmax(deviations, place.lag, weight, scores.baseAddress)
    }
  }
}

/// Lists of runs, one behind the other in memory that is large enough.
private struct RunLists {
  typealias List = UnsafeBufferPointer<lagoon_row_run>

  private let memory: UnsafeMutableBufferPointer<lagoon_row_run>
  private var used = 0

  init(_ memory: UnsafeMutableBufferPointer<lagoon_row_run>) { self.memory = memory }

  /// The blocks' keys or their values.
  mutating func add(_ blocks: [RowBlock], _ rows: (RowBlock) -> UnsafeRawPointer) -> List {
    let first = used
    for block in blocks {
      memory.initializeElement(at: used, to: lagoon_row_run(rows: rows(block), count: block.count))
      used += 1
    }
    return List(rebasing: memory[first..<used])
  }
}
