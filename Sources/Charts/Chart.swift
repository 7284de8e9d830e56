import Inspection

/// Values to draw in one colour.
package struct Series: Sendable {
  package enum Style: Sendable {
    /// Straight lines from point to point; a missing value leaves a gap.
    case line(width: Double, opacity: Double = 1, dash: [Double] = [])
    /// A line with a disc at each point.
    case lineAndDiscs
    case discs
    /// Bars that stand on 0, beside those of the chart's other series.
    case bars
  }

  package struct Point: Sendable, Hashable {
    package var x: Double
    /// nil: missing.
    package var y: Double?
    /// An interval around `y`, such as a confidence interval.
    package var interval: ClosedRange<Double>?
    /// Drawn as a ring instead of a disc.
    package var isDistinguished: Bool

    package init(
      _ x: Double, _ y: Double?, interval: ClosedRange<Double>? = nil, isDistinguished: Bool = false
    ) {
      (self.x, self.y, self.interval, self.isDistinguished) = (x, y, interval, isDistinguished)
    }
  }

  /// For the legend; nil: not in it.
  package var name: String?
  package var color: Color
  package var style: Style
  /// In ascending order of x.
  package var points: [Point]

  package init(_ name: String?, _ color: Color, _ style: Style, _ points: [Point]) {
    (self.name, self.color, self.style, self.points) = (name, color, style, points)
  }
}

/// Something at a value of the horizontal axis.
package struct Mark: Sendable, Hashable {
  package enum Shape: Sendable {
    /// A small triangle at the upper edge.
    case flag
    /// A dashed line from edge to edge.
    case line
  }

  /// For the legend, where the same name stands once; nil: not in it.
  package var name: String?
  package var x: Double
  package var shape: Shape
  package var color: Color

  package init(_ name: String?, x: Double, _ shape: Shape, _ color: Color) {
    (self.name, self.x, self.shape, self.color) = (name, x, shape, color)
  }
}

/// A drawing of series over two axes.
package struct Chart: Sendable {
  package var title: String
  /// In grey behind the title.
  package var unit: String
  package var x: Axis
  package var y: Axis
  package var series: [Series]
  package var marks: [Mark] = []
  /// Of the space between the axes, in units of the page.
  package var height: Double

  package init(_ title: String, unit: String = "", x: Axis, y: Axis, series: [Series], height: Double = 180) {
    (self.title, self.unit, self.x, self.y, self.series, self.height) = (title, unit, x, y, series, height)
  }

  /// Whether there is any value to draw.
  package var hasValues: Bool { verticalValues().isEmpty == false }

  /// The vertical axis, reaching over all values, between two coordinates of the page.
  func placedY(bottom: Double, top: Double) -> PlacedAxis {
    let values = verticalValues()
    var low = values.min() ?? (y.scale == .linear ? 0 : 1)
    var high = values.max() ?? (y.scale == .linear ? 1 : 10)
    if let range = y.range { (low, high) = (range.lowerBound, range.upperBound) }
    let hasBars = series.contains { if case .bars = $0.style { true } else { false } }
    if y.scale == .linear, y.includesZero || hasBars { (low, high) = (min(low, 0), max(high, 0)) }
    // About one label for every 28 units of height.
    let intervals = max(2, Int((bottom - top) / 28))
    let ticks =
      y.ticks
      ?? (y.scale == .linear
        ? Ticks.linear(covering: low...high, intervals: intervals)
        : Ticks.logarithmic(covering: low...high, intervals: intervals))
    let first = min(low, ticks.values.first ?? low)
    let last = max(high, ticks.values.last ?? high)
    return PlacedAxis(y.scale, first...(last > first ? last : first + 1), ticks, from: bottom, to: top)
  }

  /// The horizontal axis, exactly as long as the data.
  func placedX(left: Double, right: Double) -> PlacedAxis {
    let values = series.flatMap { $0.points.map(\.x) }.filter(x.shows)
    var low = x.range?.lowerBound ?? values.min() ?? (x.scale == .linear ? 0 : 1)
    var high = x.range?.upperBound ?? values.max() ?? (x.scale == .linear ? 1 : 10)
    if low == high {
      (low, high) = x.scale == .linear ? (low - 0.5, high + 0.5) : (low / 2, high * 2)
    }
    let intervals = max(2, Int((right - left) / 80))
    let ticks =
      x.ticks
      ?? (x.scale == .linear
        ? Ticks.linear(covering: low...high, intervals: intervals)
        : Ticks.logarithmic(covering: low...high, intervals: intervals))
    return PlacedAxis(x.scale, low...high, ticks.within(low...high), from: left, to: right)
  }

  private func verticalValues() -> [Double] {
    var values: [Double] = []
    for point in series.flatMap(\.points) where x.range?.contains(point.x) ?? true {
      if let value = point.y, y.shows(value) { values.append(value) }
      if let interval = point.interval {
        values += [interval.lowerBound, interval.upperBound].filter(y.shows)
      }
    }
    return values
  }
}
