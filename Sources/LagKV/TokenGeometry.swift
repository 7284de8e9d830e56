/// Where the tokens of one layer and KV head are, in closed form.
///
/// Tokens `0..<sinks` are sinks. The rest is cut into partitions of `lag`; partition `p` holds the positions
/// `sinks + p * lag ..< sinks + (p + 1) * lag` and is scored once, when partition `p + 1` is complete. The last
/// complete partition and the partial one after it are the window.
public struct TokenGeometry: Sendable, Hashable {
  /// `S`.
  public let sinks: Int
  /// `L`, at least 1.
  public let lag: Int
  /// `K`, the rows kept of each scored partition, `0...lag`.
  public let kept: Int

  public init(sinks: Int, lag: Int, kept: Int) {
    precondition(sinks >= 0 && lag >= 1 && (0...lag).contains(kept))
    self.sinks = sinks
    self.lag = lag
    self.kept = kept
  }

  /// Partitions that are complete after `t` tokens.
  public func completePartitions(_ t: Int) -> Int { max(0, t - sinks) / lag }

  /// Partitions that have been scored after `t` tokens: all complete ones but the last.
  public func scoredPartitions(_ t: Int) -> Int { max(0, completePartitions(t) - 1) }

  /// Sinks and kept rows after `t` tokens; the window is not counted.
  public func keptRows(_ t: Int) -> Int { min(sinks, t) + kept * scoredPartitions(t) }

  /// Rows in the window after `t` tokens: fewer than `2 * lag`.
  public func windowRows(_ t: Int) -> Int { max(0, t - sinks) - lag * scoredPartitions(t) }

  /// All rows after `t` tokens.
  public func totalRows(_ t: Int) -> Int { keptRows(t) + windowRows(t) }

  /// The positions of partition `p`.
  public func positions(ofPartition p: Int) -> Range<Int> { sinks + p * lag..<sinks + (p + 1) * lag }

  /// The partition that holds position `t`, or nil for a sink.
  public func partition(ofPosition t: Int) -> Int? { t < sinks ? nil : (t - sinks) / lag }

  /// A piece of an append that lies in the sinks or in one partition.
  public enum Segment: Sendable, Hashable {
    case sinks(positions: Range<Int>)
    /// `completes`: the piece ends where the partition ends, so the partition before it can be scored.
    case partition(Int, positions: Range<Int>, completes: Bool)

    /// The absolute positions of the piece's tokens.
    public var positions: Range<Int> {
      switch self {
      case .sinks(let positions), .partition(_, let positions, _): positions
      }
    }
  }

  /// The cut of an append of `count` tokens from position `t`, at `sinks` and every `sinks + k * lag`: what
  /// makes the outcome independent of how a document is cut into calls.
  public func segments(from t: Int, count: Int) -> [Segment] {
    precondition(t >= 0 && count >= 0)
    var result: [Segment] = []
    var start = t
    let end = t + count
    while start < end {
      guard let p = partition(ofPosition: start) else {
        let stop = min(end, sinks)
        result.append(.sinks(positions: start..<stop))
        start = stop
        continue
      }
      let whole = positions(ofPartition: p)
      let stop = min(end, whole.upperBound)
      result.append(.partition(p, positions: start..<stop, completes: stop == whole.upperBound))
      start = stop
    }
    return result
  }
}
