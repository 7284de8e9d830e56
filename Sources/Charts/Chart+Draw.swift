import Inspection

/// Colours of the parts that carry no data.
enum Ink {
  static let text = Color(0x222222)
  static let faint = Color(0x6b6b6b)
  static let axis = Color(0x444444)
  static let grid = Color(0xe6e6e6)
}

extension Chart {
  /// Draws everything between the axes, the axes, and their labels.
  ///
  /// - Parameter frame: the space between the axes.
  func draw(in frame: Frame, on plotter: inout some Plotter) {
    let x = placedX(left: frame.left, right: frame.right)
    let y = placedY(bottom: frame.bottom, top: frame.top)
    drawAxes(frame, x, y, &plotter)
    for mark in marks where mark.shape == .line && x.domain.contains(mark.x) {
      let place = x.place(mark.x)
      plotter.line(
        [Place(place, frame.top), Place(place, frame.bottom)], Stroke(mark.color, width: 0.8, dash: [3, 3]))
    }
    drawBars(frame, x, y, &plotter)
    for series in series { drawLine(series, frame, x, y, &plotter) }
    for series in series { drawDiscs(series, frame, x, y, &plotter) }
    for mark in marks where mark.shape == .flag && x.domain.contains(mark.x) {
      Self.flag(at: Place(x.place(mark.x), frame.top), mark.color, &plotter)
    }
  }

  /// A triangle whose tip points at a place from above.
  static func flag(at tip: Place, _ color: Color, _ plotter: inout some Plotter) {
    plotter.triangle((tip, Place(tip.x - 3.2, tip.y - 5.5), Place(tip.x + 3.2, tip.y - 5.5)), color)
  }

  private func drawAxes(_ frame: Frame, _ x: PlacedAxis, _ y: PlacedAxis, _ plotter: inout some Plotter) {
    let label = TextStyle(size: 10, Ink.text, anchor: .trailing)
    for (value, text) in zip(y.ticks.values, y.ticks.labels) {
      let place = y.place(value)
      plotter.line([Place(frame.left, place), Place(frame.right, place)], Stroke(Ink.grid, width: 0.8))
      plotter.text(text, at: Place(frame.left - 7, place + 3.5), label)
    }
    // The lower axis stands at the frame's edge also where 0 lies higher, as with negative bars.
    plotter.line([Place(frame.left, frame.bottom), Place(frame.right, frame.bottom)], Stroke(Ink.axis))
    if y.domain.lowerBound < 0, y.domain.upperBound > 0 {
      plotter.line(
        [Place(frame.left, y.place(0)), Place(frame.right, y.place(0))], Stroke(Ink.faint, width: 0.8))
    }
    for (value, text) in zip(x.ticks.values, x.ticks.labels) {
      let place = x.place(value)
      plotter.line([Place(place, frame.bottom), Place(place, frame.bottom + 4)], Stroke(Ink.axis))
      guard self.x.showsLabels else { continue }
      plotter.text(text, at: Place(place, frame.bottom + 15), TextStyle(size: 10, Ink.text, anchor: .center))
    }
    if self.x.showsLabels, !self.x.title.isEmpty {
      plotter.text(
        self.x.title, at: Place((frame.left + frame.right) / 2, frame.bottom + 30),
        TextStyle(size: 10, Ink.faint, anchor: .center))
    }
  }

  private func drawLine(
    _ series: Series, _ frame: Frame, _ x: PlacedAxis, _ y: PlacedAxis, _ plotter: inout some Plotter
  ) {
    let stroke: Stroke
    switch series.style {
    case .line(let width, let opacity, let dash):
      stroke = Stroke(series.color, width: width, opacity: opacity, dash: dash)
    case .lineAndDiscs: stroke = Stroke(series.color, width: 1.4)
    case .discs, .bars: return
    }
    let parts = series.points.split(omittingEmptySubsequences: true) { point in
      point.y.map { !self.y.shows($0) } ?? true || !self.x.shows(point.x)
    }
    for part in parts {
      let places = part.map { Place(x.place($0.x), y.place($0.y ?? 0)) }
      // A value between two gaps would be no line at all.
      let whole =
        places.count == 1
        ? [Place(places[0].x - 0.6, places[0].y), Place(places[0].x + 0.6, places[0].y)] : places
      for visible in Clipping.line(Thinning.thin(whole), to: frame) { plotter.line(visible, stroke) }
    }
  }

  private func drawDiscs(
    _ series: Series, _ frame: Frame, _ x: PlacedAxis, _ y: PlacedAxis, _ plotter: inout some Plotter
  ) {
    switch series.style {
    case .lineAndDiscs, .discs: break
    case .line, .bars: return
    }
    for point in series.points {
      guard let value = point.y, self.y.shows(value), self.x.shows(point.x) else { continue }
      let place = Place(x.place(point.x), y.place(value))
      if let interval = point.interval {
        Self.whisker(at: place.x, interval, series.color, frame, y, &plotter)
      }
      guard Clipping.contains(place, in: frame) else { continue }
      plotter.disc(
        place, radius: point.isDistinguished ? 3.6 : 2.2, fill: point.isDistinguished ? .white : series.color,
        outline: series.color)
    }
  }

  private func drawBars(
    _ frame: Frame, _ x: PlacedAxis, _ y: PlacedAxis, _ plotter: inout some Plotter
  ) {
    let groups = series.filter { if case .bars = $0.style { true } else { false } }
    guard !groups.isEmpty else { return }
    // The bars of one value of x take four fifths of the room up to the next.
    let room = abs(x.place(x.domain.lowerBound + 1) - x.place(x.domain.lowerBound)) * 0.8
    let width = room / Double(groups.count)
    for (index, group) in groups.enumerated() {
      for point in group.points {
        guard let value = point.y, self.y.shows(value) else { continue }
        let left = x.place(point.x) - room / 2 + Double(index) * width
        let (from, to) = (max(frame.left, left + width * 0.04), min(frame.right, left + width * 0.96))
        let top = max(frame.top, min(y.place(value), y.place(0)))
        let bottom = min(frame.bottom, max(y.place(value), y.place(0)))
        guard from < to, top <= bottom else { continue }
        plotter.fill(Frame(left: from, top: top, width: to - from, height: bottom - top), group.color)
        if let interval = point.interval {
          Self.whisker(at: left + width / 2, interval, Ink.text, frame, y, &plotter)
        }
      }
    }
  }

  /// An interval as a vertical line with short ends.
  private static func whisker(
    at x: Double, _ interval: ClosedRange<Double>, _ color: Color, _ frame: Frame, _ y: PlacedAxis,
    _ plotter: inout some Plotter
  ) {
    let (low, high) = (y.place(interval.lowerBound), y.place(interval.upperBound))
    for line in [
      [Place(x, low), Place(x, high)], [Place(x - 3, low), Place(x + 3, low)],
      [Place(x - 3, high), Place(x + 3, high)],
    ] {
      for visible in Clipping.line(line, to: frame) { plotter.line(visible, Stroke(color, width: 1.2)) }
    }
  }
}
