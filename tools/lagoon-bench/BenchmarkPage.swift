import Charts
import Foundation
import Inspection
import ToolSupport

/// The page of benchmarks.
struct BenchmarkPage {
  private let results: BenchmarkResults
  private static let mark = "<!-- by hand -->"

  init(_ results: BenchmarkResults) { self.results = results }

  /// What stands between the marks of an earlier page.
  static func byHand(_ page: String) -> String? {
    let parts = page.components(separatedBy: mark)
    return parts.count == 3 ? parts[1] : nil
  }

  func text(byHand: String) -> String {
    var lines = [
      "# Benchmarks", "",
      "Made by `make benchmarks` (`tools/scripts/benchmarks.sh`), on \(Self.machine), \(Self.date). Every figure stands beside a ceiling "
        + "that was measured in the same run, in turns: the machine is shared, and times alone say little. Medians. A target that was "
        + "missed says so.", "",
      Self.mark + byHand + Self.mark, "", "![decode attention by kept keys](images/benchmarks.svg)", "",
      "## Against the machine", "", "| benchmark | figure | ceiling | ratio | target of the ratio | |",
      "|---|---|---|---|---|---|",
    ]
    for (_, figures) in results.figures {
      for figure in figures { lines.append(Self.row(figure)) }
    }
    if !results.comparisons.isEmpty {
      lines += [
        "", "## Against other programs", "", "| work | rates | ratio to the best of the others |",
        "|---|---|---|",
      ]
      lines += results.comparisons.map(Self.row)
      lines += [
        "",
        "`tools/compare/attention.py` and `tools/compare/ingest.py` say what each side does. `eager`, `compiled`, `gqa`, `rows` and `matmul` are "
          + "PyTorch's forms; of ingesting, the best is that of the sides that keep everything.",
      ]
    }
    lines += ["", "## Details", ""]
    for (file, figures) in results.figures where figures.contains(where: { !$0.details.isEmpty }) {
      lines += ["**\(file)**", ""]
      for figure in figures where !figure.details.isEmpty {
        let details = figure.details.sorted { $0.key < $1.key }.map {
          "\($0.key.replacing("_", with: " ")) \(short($0.value))"
        }
        lines.append("- \(figure.name): " + details.joined(separator: ", "))
      }
      lines.append("")
    }
    return lines.joined(separator: "\n")
  }

  private static func row(_ figure: Figure) -> String {
    let met = figure.isMet.map { $0 ? "met" : "**missed**" } ?? ""
    return
      "| \(figure.name) | \(short(figure.figure)) \(figure.unit) | \(figure.ceilingIs): \(short(figure.ceiling)) | "
      + "\(short(figure.ratio)) | \(figure.target?.description ?? "") | \(met) |"
  }

  private static func row(_ comparison: BenchmarkResults.Comparison) -> String {
    let rates = comparison.rates.sorted { $0.value > $1.value }.map { "\($0.key) \(short($0.value))" }
    return "| \(comparison.name) | \(rates.joined(separator: ", ")) \(comparison.unit) | "
      + "\(short(comparison.ratio)) × \(comparison.best) |"
  }

  private static var machine: String {
    let lines = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8))?.split(separator: "\n") ?? []
    let model = lines.first { $0.hasPrefix("model name") }?.split(separator: ":").last ?? " an unknown CPU"
    return "\(ProcessInfo.processInfo.activeProcessorCount) cores of\(model)"
  }

  private static var date: String { Date().formatted(.iso8601.year().month().day()) }
}

/// Decode attention by kept keys, beside the memory's rate.
struct BenchmarkPicture {
  let figure: Charts.Figure?

  init(_ results: BenchmarkResults) {
    let decode = results.figures.first { $0.file == "attend-decode" }?.figures ?? []
    var byKind: [(name: String, points: [Series.Point])] = []
    var ceiling: [Double: [Double]] = [:]
    for figure in decode {
      guard let keys = figure.details["keys"] else { continue }
      let kind =
        figure.name.replacing("attend decode ", with: "").split(separator: ",").first.map(String.init) ?? ""
      let point = Series.Point(keys, figure.figure)
      if let i = byKind.firstIndex(where: { $0.name == kind }) {
        byKind[i].points.append(point)
      } else {
        byKind.append((kind, [point]))
      }
      ceiling[keys, default: []].append(figure.ceiling)
    }
    let sizes = ceiling.keys.sorted()
    guard sizes.count > 1 else {
      figure = nil
      return
    }
    var series = byKind.enumerated().map { i, kind in
      Series(kind.name, Palette.colors[i % Palette.colors.count], .lineAndDiscs, kind.points)
    }
    let limits = sizes.map { Series.Point($0, ceiling[$0]?.median) }
    series.append(Series("memory read", Palette.grey, .line(width: 1.4, dash: [4, 3]), limits))
    figure = Charts.Figure(
      title: "One query over kept keys, through the daemon",
      subtitle: "32 query heads over 8 KV heads × 128; bytes of keys and values as they were given, a second",
      charts: [
        Chart(
          "attention", unit: "GB/s",
          x: Axis(
            "kept keys", scale: .logarithmic,
            ticks: Ticks(values: sizes, labels: sizes.map { Units.count(Int($0)) })),
          y: Axis(includesZero: true), series: series)
      ])
  }
}
