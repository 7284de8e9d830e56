import Foundation
import Inspection

/// Charts below each other, with one title, their left edges aligned.
///
///     let figure = Figure(title: "Loss", charts: [
///       Chart("loss", unit: "nats", x: Axis("step"), y: Axis(), series: [Series("train", Palette.colors[0], .lineAndDiscs, points)]),
///     ])
///     try figure.write(to: "loss.svg")
package struct Figure: Sendable {
  package var title: String
  /// In grey below the title.
  package var subtitle: String
  package var charts: [Chart]
  /// Of the page, in units of 1/96 inch.
  package var width: Double
  /// What a colour stands for in all charts.
  package var colors: [(name: String, color: Color)] = []

  package init(title: String, subtitle: String = "", charts: [Chart], width: Double = 720) {
    (self.title, self.subtitle, self.charts, self.width) = (title, subtitle, charts, width)
  }

  private static let margin = 18.0

  /// The figure as an SVG file.
  package func svg() -> String {
    var plotter = SVGPlotter(
      width: width, height: height(SVGPlotter(width: width, height: 1, title: "")), title: title)
    draw(on: &plotter)
    return plotter.file
  }

  /// The figure as a picture, two pixels a unit.
  package func canvas() -> Canvas {
    var plotter = CanvasPlotter(width: width, height: height(CanvasPlotter(width: 1, height: 1)))
    draw(on: &plotter)
    return plotter.canvas
  }

  private var colorLegend: Legend {
    Legend(colors.map { .init(name: $0.name, color: $0.color, sample: .bar) })
  }

  private var head: Double { Self.margin + (title.isEmpty ? 0 : 18) + (subtitle.isEmpty ? 0 : 15) }

  /// Room for the longest label of any vertical axis.
  private func leftEdge(_ plotter: some Plotter) -> Double {
    let style = TextStyle(size: 10, Ink.text)
    let labels = charts.flatMap { $0.placedY(bottom: $0.height, top: 0).ticks.labels }
    return Self.margin + 7 + (labels.map { plotter.width(of: $0, style) }.max() ?? 0)
  }

  /// Rows of legend below a chart's title, none when it fits beside it.
  private func legendRows(_ chart: Chart, room: Double, _ plotter: some Plotter) -> [[Legend.Entry]] {
    let legend = Legend(chart)
    let used =
      plotter.width(of: chart.title + " ", Self.titleStyle) + plotter.width(of: chart.unit, Self.unitStyle)
    return legend.width(plotter) + used + 20 <= room ? [] : legend.rows(within: room, plotter)
  }

  private static let titleStyle = TextStyle(size: 11, isBold: true, Ink.text)
  private static let unitStyle = TextStyle(size: 10, Ink.faint)

  private func top(_ chart: Chart, room: Double, _ plotter: some Plotter) -> Double {
    26 + Double(legendRows(chart, room: room, plotter).count) * Legend.rowHeight
  }

  private func bottom(_ chart: Chart) -> Double {
    chart.x.showsLabels ? (chart.x.title.isEmpty ? 22 : 38) : 10
  }

  private func height(_ plotter: some Plotter) -> Double {
    let room = width - Self.margin - leftEdge(plotter)
    let colorRows = Double(colorLegend.rows(within: room, plotter).count) * Legend.rowHeight
    return charts.reduce(head + colorRows) { sum, chart in
      sum + top(chart, room: room, plotter) + chart.height + bottom(chart)
    } + 6
  }

  private func draw(on plotter: inout some Plotter) {
    let left = leftEdge(plotter)
    let room = width - Self.margin - left
    var y = Self.margin
    if !title.isEmpty {
      plotter.text(title, at: Place(left, y + 10), TextStyle(size: 14, isBold: true, Ink.text))
      y += 18
    }
    if !subtitle.isEmpty {
      plotter.text(subtitle, at: Place(left, y + 8), TextStyle(size: 10, Ink.faint))
      y += 15
    }
    for row in colorLegend.rows(within: room, plotter) {
      colorLegend.draw(row, at: Place(left - 6, y + 10), on: &plotter)
      y += Legend.rowHeight
    }
    for chart in charts {
      drawHead(chart, at: Place(left, y + 15), room: room, on: &plotter)
      y += top(chart, room: room, plotter)
      chart.draw(in: Frame(left: left, top: y, width: room, height: chart.height), on: &plotter)
      y += chart.height + bottom(chart)
    }
  }

  /// A chart's title, its unit, and its legend beside or below them.
  private func drawHead(_ chart: Chart, at place: Place, room: Double, on plotter: inout some Plotter) {
    plotter.text(chart.title, at: place, Self.titleStyle)
    let unitLeft = place.x + plotter.width(of: chart.title + " ", Self.titleStyle)
    if !chart.unit.isEmpty { plotter.text(chart.unit, at: Place(unitLeft, place.y), Self.unitStyle) }
    let legend = Legend(chart)
    let rows = legendRows(chart, room: room, plotter)
    guard !rows.isEmpty else {
      let start = place.x + room - legend.width(plotter) + 14
      return legend.draw(legend.entries, at: Place(start, place.y), on: &plotter)
    }
    for (index, row) in rows.enumerated() {
      let y = place.y + Double(index + 1) * Legend.rowHeight
      legend.draw(row, at: Place(place.x, y), on: &plotter)
    }
  }
}

/// Colours of series.
package enum Palette {
  /// Eight colours that people who see colours differently tell apart (M. Okabe, K. Ito, "Color universal design", 2008), yellow
  /// darkened for white paper.
  package static let colors: [Color] = [
    Color(0x0072b2), Color(0xd55e00), Color(0x009e73), Color(0xcc79a7), Color(0xe69f00), Color(0x56b4e9),
    Color(0x000000),
    Color(0xa89f00),
  ]
  package static let grey = Color(0x8a8a8a)
}
