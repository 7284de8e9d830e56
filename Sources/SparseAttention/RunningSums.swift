import Kernels

/// What is accumulated for rows of queries: the weighted values `[rows, padded]`, the maximum and the sum of each row. A place in memory
/// that somebody else owns.
struct RunningSums {
  let weighted: UnsafeMutablePointer<Float>
  let maximum: UnsafeMutablePointer<Float>
  let sum: UnsafeMutablePointer<Float>

  /// Floats that `rows` rows take, a multiple of a vector.
  static func floats(rows: Int, padded: Int) -> Int { rows * padded + 2 * ((rows + 15) / 16 * 16) }

  /// - Parameter memory: 64-byte aligned, of ``floats(rows:padded:)``.
  init(_ memory: UnsafeMutablePointer<Float>, rows: Int, padded: Int) {
    weighted = memory
    maximum = memory + rows * padded
    sum = maximum + (rows + 15) / 16 * 16
  }

  /// The first `rows` rows as before the first key.
  func clear(_ rows: Int, padded: Int) {
    weighted.update(repeating: 0, count: rows * padded)
    maximum.update(repeating: -.infinity, count: rows)
    sum.update(repeating: 0, count: rows)
  }

  /// The rows of some KV heads as before the first key.
  func clear(_ heads: Range<Int>, _ layout: QueryRows) {
    let first = heads.lowerBound * layout.perHead
    let rows = heads.count * layout.perHead
    (weighted + first * layout.padded).update(repeating: 0, count: rows * layout.padded)
    (maximum + first).update(repeating: -.infinity, count: rows)
    (sum + first).update(repeating: 0, count: rows)
  }

  /// Rows `first..<first + count`.
  func rows(
    _ queries: PackedQueries, from first: Int, count: Int, _ layout: QueryRows, firstPosition: Int
  ) -> lagoon_query_rows {
    lagoon_query_rows(
      queries: queries.floats + first * layout.padded, weighted: weighted + first * layout.padded,
      maximum: maximum + first, sum: sum + first, rows: count, group: layout.shape.group,
      headDim: layout.shape.headDim,
      firstPosition: Int64(firstPosition), scale: layout.shape.scale,
      narrow: queries.narrow.map { UnsafePointer($0 + first * layout.padded) })
  }

  /// The queries of `other` with these sums, from the first on.
  func rows(like other: lagoon_query_rows) -> lagoon_query_rows {
    var rows = other
    rows.weighted = weighted
    rows.maximum = maximum
    rows.sum = sum
    return rows
  }
}
