/// How much of each pixel of a part of a picture a shape covers, 0 to 1.
struct CoverageMask {
  let columns: Range<Int>
  let rows: Range<Int>
  private var shares: [Double]

  /// The pixels around some places, `reach` pixels further on each side; nil when none of them is in the picture.
  init?(around places: [Place], reach: Double, width: Int, height: Int) {
    guard let first = places.first else { return nil }
    let bounds = places.reduce((first.x, first.x, first.y, first.y)) { bounds, place in
      (min(bounds.0, place.x), max(bounds.1, place.x), min(bounds.2, place.y), max(bounds.3, place.y))
    }
    columns = Self.pixels(bounds.0 - reach, bounds.1 + reach, within: width)
    rows = Self.pixels(bounds.2 - reach, bounds.3 + reach, within: height)
    guard !columns.isEmpty, !rows.isEmpty else { return nil }
    shares = Array(repeating: 0, count: columns.count * rows.count)
  }

  subscript(x: Int, y: Int) -> Double {
    shares[(y - rows.lowerBound) * columns.count + x - columns.lowerBound]
  }

  /// Covers pixels by their distance from a segment of a line.
  ///
  /// - Parameters:
  ///   - reach: the distance beyond which `share` is not positive.
  ///   - share: of a pixel whose centre is at this distance; cut to 0 to 1.
  mutating func cover(from: Place, to: Place, reach: Double, _ share: (Double) -> Double) {
    let (dx, dy) = (to.x - from.x, to.y - from.y)
    let square = dx * dx + dy * dy
    let width = columns.upperBound
    let height = rows.upperBound
    let reachedColumns = Self.pixels(min(from.x, to.x) - reach, max(from.x, to.x) + reach, within: width)
    let reachedRows = Self.pixels(min(from.y, to.y) - reach, max(from.y, to.y) + reach, within: height)
    for y in reachedRows.clamped(to: rows) {
      for x in reachedColumns.clamped(to: columns) {
        let (px, py) = (Double(x) + 0.5 - from.x, Double(y) + 0.5 - from.y)
        let along = square > 0 ? min(max((px * dx + py * dy) / square, 0), 1) : 0
        let (ex, ey) = (px - along * dx, py - along * dy)
        raise(x, y, share((ex * ex + ey * ey).squareRoot()))
      }
    }
  }

  /// Covers every pixel by what `share` says of its centre.
  mutating func cover(_ share: (Place) -> Double) {
    for y in rows {
      for x in columns { raise(x, y, share(Place(Double(x) + 0.5, Double(y) + 0.5))) }
    }
  }

  private mutating func raise(_ x: Int, _ y: Int, _ share: Double) {
    let at = (y - rows.lowerBound) * columns.count + x - columns.lowerBound
    shares[at] = max(shares[at], min(share, 1))
  }

  /// Pixels from one coordinate to another, as far as a picture of `limit` pixels has them.
  private static func pixels(_ from: Double, _ to: Double, within limit: Int) -> Range<Int> {
    let lower = Int(min(max(from.rounded(.down), 0), Double(limit)))
    let upper = Int(min(max(to.rounded(.up), 0), Double(limit)))
    return lower..<max(lower, upper)
  }
}
