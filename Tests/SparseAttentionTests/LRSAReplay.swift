import LagKV

/// What each query of a document sees under LRSA (arXiv 2506.11498), for a pass over it chunk by chunk:
/// forward, or backward, where chunks come in descending order.
///
/// The query at `t` of partition `c` sees, up to itself, the sinks, the partitions `c - 1` and `c` whole, and
/// the kept rows of the partitions before. Chunks are cut at the ends of the sinks and of partitions, so that
/// all queries of a chunk see the same kept rows, and what remains is causal.
///
/// Going back, what a row's gradients are made of comes in the same order as its readers: first, for a kept
/// row, the terms of every chunk of the partitions from `c + 2` on; then those of the next and of its own
/// partition. A sink has terms of every chunk. When a chunk's turn comes, all later terms of its rows are
/// there, and its own complete them.
///
/// Which rows are kept is the caller's affair: kept rows are counted in a stream per KV head, `geometry.kept`
/// of each partition, in order. Pure: positions in, positions out.
struct LRSAReplay: Sendable, Hashable {
  let geometry: TokenGeometry
  /// Tokens of the document.
  let tokens: Int

  init(geometry: TokenGeometry, tokens: Int) {
    precondition(tokens >= 0)
    self.geometry = geometry
    self.tokens = tokens
  }

  /// Some consecutive queries and what they see.
  struct Chunk: Sendable, Hashable {
    /// The positions of the queries: sinks only, or some of one partition.
    let positions: Range<Int>
    /// The partition, or nil for sinks.
    let partition: Int?
    /// Positions of sinks, seen causally.
    let sinks: Range<Int>
    /// How many rows from the start of the stream of kept rows all the queries see.
    let keptRows: Int
    /// Positions after the sinks that are seen causally: the partition before, whole, and the own one up to the
    /// last query.
    let window: Range<Int>
  }

  /// The chunk of the queries at these positions, which do not cross an end of the sinks or of a partition.
  func chunk(_ positions: Range<Int>) -> Chunk {
    precondition(positions.lowerBound >= 0 && positions.upperBound <= tokens && !positions.isEmpty)
    let partition = geometry.partition(ofPosition: positions.lowerBound)
    precondition(geometry.partition(ofPosition: positions.upperBound - 1) == partition)
    let sinks = 0..<min(geometry.sinks, positions.upperBound)
    guard let partition else {
      return Chunk(
        positions: positions, partition: nil, sinks: sinks, keptRows: 0,
        window: geometry.sinks..<geometry.sinks)
    }
    let before = max(0, partition - 1)
    return Chunk(
      positions: positions, partition: partition, sinks: sinks, keptRows: before * geometry.kept,
      window: geometry.positions(ofPartition: before).lowerBound..<positions.upperBound)
  }

  /// The document in chunks, ascending: cut where the queries' view changes and every `length` positions.
  func chunks(ofAtMost length: Int = .max) -> [Chunk] {
    precondition(length >= 1)
    return geometry.segments(from: 0, count: tokens).flatMap { segment in
      let positions = segment.positions
      return stride(from: positions.lowerBound, to: positions.upperBound, by: min(length, positions.count))
        .map {
          chunk($0..<min(positions.upperBound, $0 + min(length, positions.count)))
        }
    }
  }

  /// The rows of the stream of kept rows that are of this partition.
  func keptRows(ofPartition partition: Int) -> Range<Int> {
    partition * geometry.kept..<(partition + 1) * geometry.kept
  }
}
