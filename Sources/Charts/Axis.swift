import Foundation

/// One direction of a chart.
package struct Axis: Sendable {
  package enum Scale: Sendable { case linear, logarithmic }

  /// What is shown, with its unit: below the horizontal axis. The vertical axis has the chart's title.
  package var title: String
  package var scale: Scale
  /// Values to show; nil: those of the data.
  package var range: ClosedRange<Double>?
  /// Ticks to use instead of round numbers: names of groups, powers of two.
  package var ticks: Ticks?
  /// The vertical axis begins at 0.
  package var includesZero: Bool
  package var showsLabels: Bool

  package init(
    _ title: String = "", scale: Scale = .linear, range: ClosedRange<Double>? = nil, ticks: Ticks? = nil,
    includesZero: Bool = false, showsLabels: Bool = true
  ) {
    self.title = title
    self.scale = scale
    self.range = range
    self.ticks = ticks
    self.includesZero = includesZero
    self.showsLabels = showsLabels
  }

  /// Names of groups at 0, 1, 2, …, for bars.
  package static func groups(_ names: [String], title: String = "") -> Axis {
    Axis(
      title, range: -0.5...Double(max(1, names.count)) - 0.5,
      ticks: Ticks(values: names.indices.map(Double.init), labels: names))
  }

  /// A value that this axis has a place for.
  func shows(_ value: Double) -> Bool {
    // Beyond this, differences of two values would not be finite.
    abs(value) <= 1e300 && (scale == .linear || value >= 1e-300)
  }
}

/// An axis laid out on the page.
struct PlacedAxis {
  let scale: Axis.Scale
  let domain: ClosedRange<Double>
  let ticks: Ticks
  let from: Double
  let to: Double

  /// - Parameters:
  ///   - domain: wider than nothing.
  ///   - from: the page's coordinate of the domain's lower end; `to`: of its upper.
  init(_ scale: Axis.Scale, _ domain: ClosedRange<Double>, _ ticks: Ticks, from: Double, to: Double) {
    (self.scale, self.domain, self.ticks, self.from, self.to) = (scale, domain, ticks, from, to)
  }

  /// The coordinate of a value. Far outside of the domain it ends somewhere outside of the page.
  func place(_ value: Double) -> Double {
    let share =
      switch scale {
      case .linear: (value - domain.lowerBound) / (domain.upperBound - domain.lowerBound)
      case .logarithmic:
        Self.log(value / domain.lowerBound) / Self.log(domain.upperBound / domain.lowerBound)
      }
    return from + min(max(share, -100), 100) * (to - from)
  }

  private static func log(_ value: Double) -> Double { Foundation.log(max(value, 1e-300)) }
}
