/// Dashed lines, for pictures that only know solid ones.
package enum Dashes {
  /// Cuts a line into its dashes.
  ///
  /// - Parameter pattern: lengths of dashes and gaps in turns, above 0; empty: the line stays whole.
  package static func cut(_ places: [Place], _ pattern: [Double]) -> [[Place]] {
    guard !pattern.isEmpty, let first = places.first else { return [places] }
    var dashes: [[Place]] = []
    var current = [first]
    var (turn, left) = (0, pattern[0])
    for (from, to) in zip(places, places.dropFirst()) {
      let (dx, dy) = (to.x - from.x, to.y - from.y)
      let length = (dx * dx + dy * dy).squareRoot()
      var done = 0.0
      while length - done > left {
        done += left
        let place = Place(from.x + dx * done / length, from.y + dy * done / length)
        if turn % 2 == 0 { dashes.append(current + [place]) }
        current = [place]
        turn += 1
        left = pattern[turn % pattern.count]
      }
      left -= length - done
      current.append(to)
    }
    if turn % 2 == 0, current.count >= 2 { dashes.append(current) }
    return dashes
  }
}
