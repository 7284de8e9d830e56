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
    var scores = [Float](repeating: 0, count: place.lag)
    let keys = partition.map { lagoon_row_run(rows: $0.keys, count: $0.count) }
    let values = partition.map { lagoon_row_run(rows: $0.values, count: $0.count) }
    let leadingKeys = reference.map { lagoon_row_run(rows: $0.keys, count: $0.count) }
    let leadingValues = reference.map { lagoon_row_run(rows: $0.values, count: $0.count) }
    let next = following.map { lagoon_row_run(rows: $0.keys, count: $0.count) }
    addScores(of: keys, leading: leadingKeys, next: leadingValues, weight: 1, place, to: &scores)
    addScores(of: values, leading: leadingValues, next: next, weight: valueWeight, place, to: &scores)
    return scores
  }

  /// - Parameter next: what will be read next.
  private func addScores(
    of rows: [lagoon_row_run], leading: [lagoon_row_run], next: [lagoon_row_run], weight: Float,
    _ place: PartitionPlace, to scores: inout [Float]
  ) {
    let type = place.elementType.rawValue
    var minimum = [Float](repeating: .infinity, count: place.headDim)
    var maximum = [Float](repeating: -.infinity, count: place.headDim)
    lagoon_channel_range(leading, leading.count, type, place.headDim, &minimum, &maximum)
    var deviations = [Float](repeating: 0, count: place.lag)
    // `scores` checked that the blocks add up to the buffer's length.
    lagoon_normalised_std(
      rows, rows.count, next, next.count, type, place.headDim, minimum, maximum, &deviations)
    lagoon_add_softmax(&deviations, place.lag, weight, &scores)
  }
}
