/// Makes a line of very many points short without changing how it looks.
package enum Thinning {
  /// Keeps the first, lowest, highest and last place of every column of half a unit (the M4 aggregation of U. Jugel et al.,
  /// VLDB 2014), in their order.
  package static func thin(_ places: [Place]) -> [Place] {
    var kept: [Place] = []
    var start = 0
    while start < places.count {
      let column = (places[start].x * 2).rounded(.down)
      var end = start + 1
      while end < places.count, (places[end].x * 2).rounded(.down) == column { end += 1 }
      let indices = start..<end
      let lowest = indices.min { places[$0].y < places[$1].y } ?? start
      let highest = indices.max { places[$0].y < places[$1].y } ?? start
      for index in Set([start, lowest, highest, end - 1]).sorted() { kept.append(places[index]) }
      start = end
    }
    return kept
  }
}
