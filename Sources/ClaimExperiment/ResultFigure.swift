import Charts
import Inspection

extension ResultTables {
  /// Every seed at the ratio, and the arms' means against the share that is kept.
  package func figure() -> Figure {
    let seeds = design.seeds.count
    var figure = Figure(
      title: "Exact recall after \(design.steps) steps",
      subtitle:
        "kjv-tiny, numbers of 8 digits in \(design.length) bytes, S = \(design.sinks), L = \(design.lag); "
        + "\(seeds) seed\(seeds == 1 ? "" : "s"), bars: means with 95% t intervals"
        + (design.isSmoke ? "; a smoke run, which shows nothing" : ""),
      charts: [bars(), curves()])
    figure.colors = Arm.allCases.map { ($0.title, color($0)) }
    return figure
  }

  private func color(_ arm: Arm) -> Color {
    switch arm {
    case .base: Palette.grey
    case .dense: Palette.colors[0]
    case .lrsa: Palette.colors[1]
    case .random: Palette.colors[2]
    }
  }

  private func bars() -> Chart {
    let keeps: [Keep] = [.full, .lagkv(ratio)]
    let series = Arm.allCases.map { arm in
      let points = keeps.enumerated().map { index, keep in
        let values = Array(measurements.recall(arm, "main", keep).values)
        let estimate = Estimate(values)
        return Series.Point(
          Double(index), estimate?.mean, interval: arm == .base ? nil : estimate?.interval)
      }
      return Series(nil, color(arm), .bars, points)
    }
    return Chart(
      "recall", unit: "share of questions", x: .groups(keeps.map(\.title)),
      y: Axis(range: 0...1), series: series)
  }

  /// Every seed is a disc; a line joins the means.
  private func curves() -> Chart {
    let ratios = [ratio / 2, ratio, 2 * ratio]
    let series = Arm.allCases.flatMap { arm in
      let means = ratios.map { ratio in
        Series.Point(ratio, measurements.mean(measurements.recall(arm, "main", .lagkv(ratio))))
      }
      let discs = ratios.flatMap { ratio in
        measurements.recall(arm, "main", .lagkv(ratio)).sorted { $0.key < $1.key }.map {
          Series.Point(ratio, $0.value)
        }
      }
      return [
        Series(nil, color(arm), .line(width: 1.4), means),
        Series(nil, color(arm), .discs, arm == .base ? [] : discs),
      ]
    }
    return Chart(
      "recall by ratio", unit: "every seed a disc",
      x: Axis(
        "r, share of a partition that is kept", scale: .logarithmic, range: ratio / 2.2...2.2 * ratio,
        ticks: Ticks(values: ratios, labels: ratios.map(Ratio.text))),
      y: Axis(range: 0...1), series: series)
  }
}
