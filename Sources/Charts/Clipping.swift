/// Cuts off what lies outside a frame, so that no plotter needs to.
package enum Clipping {
  /// The parts of a line that lie within a frame.
  package static func line(_ places: [Place], to frame: Frame) -> [[Place]] {
    var parts: [[Place]] = []
    for (from, to) in zip(places, places.dropFirst()) {
      guard let (start, end) = segment(from, to, frame) else { continue }
      if parts.last?.last == start, start == from {
        parts[parts.count - 1].append(end)
      } else {
        parts.append([start, end])
      }
    }
    return parts
  }

  static func contains(_ place: Place, in frame: Frame) -> Bool {
    (frame.left...frame.right).contains(place.x) && (frame.top...frame.bottom).contains(place.y)
  }

  /// One segment (Y.-D. Liang, B. Barsky, "A new concept and method for line clipping", ACM Trans. Graphics 3(1), 1984).
  private static func segment(_ from: Place, _ to: Place, _ frame: Frame) -> (Place, Place)? {
    let (dx, dy) = (to.x - from.x, to.y - from.y)
    var (enter, leave) = (0.0, 1.0)
    // For each edge: how fast the segment goes outwards, and how far inside it begins.
    for (speed, room) in [
      (-dx, from.x - frame.left), (dx, frame.right - from.x), (-dy, from.y - frame.top),
      (dy, frame.bottom - from.y),
    ] {
      if speed == 0 {
        if room < 0 { return nil }
      } else if speed < 0 {
        enter = max(enter, room / speed)
      } else {
        leave = min(leave, room / speed)
      }
    }
    guard enter <= leave else { return nil }
    let start = enter == 0 ? from : Place(from.x + enter * dx, from.y + enter * dy)
    let end = leave == 1 ? to : Place(from.x + leave * dx, from.y + leave * dy)
    return (start, end)
  }
}
