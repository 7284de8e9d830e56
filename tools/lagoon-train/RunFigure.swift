import Charts
import Inspection
import RunRecord
import ToolSupport

/// The picture of one or several runs: five charts over the steps.
struct RunFigure {
  /// With the names to show.
  var runs: [(name: String, history: RunHistory)]
  var title: String
  /// Steps that the smoothed curves are means over.
  var smoothing: Int
  var shown: ClosedRange<Int> = 0...Int.max

  init(runs: [(name: String, history: RunHistory)]) {
    self.runs = runs
    title = runs.map(\.name).joined(separator: ", ")
    smoothing = max(1, (runs.map { $0.history.steps.count }.max() ?? 0) / 50)
  }

  private static let skipColor = Color(0xcc2222)
  /// Several runs are told apart by colour, so a run's curves have one; a single run has one for each curve.
  private var isComparison: Bool { runs.count > 1 }

  /// - Parameter charts: those of ``charts()``; what has no values is left out.
  func figure(_ charts: [Chart]) -> Figure {
    var drawn = charts.filter(\.hasValues)
    if let last = drawn.indices.last { drawn[last].x.showsLabels = true }
    // One legend for all charts stands in the first.
    for chart in drawn.indices.dropFirst() {
      for mark in drawn[chart].marks.indices { drawn[chart].marks[mark].name = nil }
    }
    var figure = Figure(title: title, subtitle: subtitle, charts: drawn)
    if isComparison { figure.colors = runs.indices.map { (runs[$0].name, color($0)) } }
    return figure
  }

  private var subtitle: String {
    guard !isComparison, let run = runs.first?.history else { return "" }
    let tokens = run.steps.last?.tokens ?? 0
    var text = "\(Units.count(run.steps.last?.step ?? 0)) steps, \(Units.count(tokens)) tokens"
    if let best = run.best {
      text += "; best held-out loss \(Numbers.fixed(best.loss, digits: 4))"
      if let bits = best.bitsPerByte { text += " (\(Numbers.fixed(bits, digits: 4)) bits per byte)" }
      text += " at step \(Units.count(best.step))"
    }
    return text
  }

  /// All five charts, also those without values.
  func charts() -> [Chart] {
    var gradientNorm = chart(
      "gradient norm", unit: "L2, before clipping; logarithmic", y: Axis(scale: .logarithmic), height: 98,
      runs.indices.flatMap { curves($0, \.gradientNorm, isLogarithmic: true).all })
    gradientNorm.marks += skips
    return [
      loss(),
      chart(
        "learning rate", y: Axis(includesZero: true), height: 84,
        runs.indices.map { Series(nil, color($0), .line(width: 1.5), points($0, \.learningRate)) }),
      gradientNorm,
      chart(
        "throughput", unit: "tokens/s", y: Axis(includesZero: true), height: 84,
        runs.indices.flatMap { curves($0, \.tokensPerSecond).all }),
      chart(
        "kept-set drift", unit: "% of kept rows that the first evaluation did not keep",
        y: Axis(includesZero: true), height: 84,
        runs.indices.map { index in
          Series(nil, color(index), .lineAndDiscs, evaluations(index) { $0.keptSetDrift.map { 100 * $0 } })
        }),
    ]
  }

  // MARK: Charts

  private func chart(
    _ title: String, unit: String = "", y: Axis, height: Double, _ series: [Series]
  ) -> Chart {
    var chart = Chart(title, unit: unit, x: xAxis, y: y, series: series, height: height)
    chart.marks = resumes
    return chart
  }

  private func loss() -> Chart {
    let training = runs.indices.map { curves($0, \.loss) }
    let heldOut = runs.indices.map { index in
      Series(
        nil, isComparison ? color(index) : Palette.colors[1], .lineAndDiscs, evaluations(index) { $0.loss })
    }
    let best = runs.indices.map { index in
      let step = runs[index].history.best?.step
      let points = evaluations(index) { $0.step == step ? $0.loss : nil }
        .map { Series.Point($0.x, $0.y, isDistinguished: true) }
      return Series(nil, heldOut[index].color, .discs, points)
    }
    var chart = Chart(
      "loss", unit: "nats per target", x: xAxis, y: Axis(), series: training.flatMap(\.all) + heldOut + best,
      height: 190)
    limit(&chart, calm: training.map { $0.mean ?? $0.raw } + heldOut, wild: training.map(\.raw))
    chart.series += lossNames(
      hasTraining: training.contains { !$0.raw.points.isEmpty },
      hasEvaluations: heldOut.contains { !$0.points.isEmpty })
    chart.marks = resumes + skips
    return chart
  }

  /// Names stand in series without points, because several runs share them.
  private func lossNames(hasTraining: Bool, hasEvaluations: Bool) -> [Series] {
    let (train, heldOut) = isComparison ? (Palette.grey, Palette.grey) : (color(0), Palette.colors[1])
    var names: [Series] = []
    if hasTraining {
      names.append(Series("train", train, .line(width: 0.9, opacity: 0.45), []))
      if smoothing > 1 {
        names.append(Series("mean over \(Units.count(smoothing)) steps", train, .line(width: 1.6), []))
      }
    }
    if hasEvaluations {
      names.append(Series("held-out", heldOut, .lineAndDiscs, []))
      names.append(Series("best", heldOut, .discs, []))
    }
    return names
  }

  /// Keeps a few wild values from pressing all others flat: the axis reaches a quarter further than the calm curves do, and the
  /// chart says what lies beyond.
  private func limit(_ chart: inout Chart, calm: [Series], wild: [Series]) {
    let calm = calm.flatMap { $0.points.compactMap(\.y) }
    let wild = wild.flatMap { $0.points.compactMap(\.y) }
    guard let calmTop = calm.max(), let low = (calm + wild).min(), let top = wild.max() else { return }
    let limit = calmTop + (calmTop - low) * 0.25
    guard limit < top, limit > low else { return }
    chart.y.range = low...limit
    let count = wild.count { $0 > limit }
    let values = count == 1 ? "1 value" : "\(Units.count(count)) values"
    chart.unit += "; \(values) beyond the axis, up to \(Numbers.fixed(top, digits: 1))"
  }

  private var xAxis: Axis {
    let steps = runs.flatMap { run in run.history.steps.map(\.step) + run.history.evaluations.map(\.step) }
      .filter(shown.contains)
    let (first, last) = (steps.min() ?? 0, steps.max() ?? 1)
    return Axis("step", range: Double(first)...Double(max(last, first + 1)), showsLabels: false)
  }

  private var resumes: [Mark] {
    runs.indices.flatMap { index in
      runs[index].history.events.filter { $0.what == .resume }.map { event in
        Mark("resumed", x: Double(event.step), .line, isComparison ? color(index) : Palette.grey)
      }
    }
  }

  private var skips: [Mark] {
    runs.indices.flatMap { index in
      let history = runs[index].history
      let skipped = history.steps.filter { $0.skipped != nil }.map(\.step)
      let spikes = history.events.filter { $0.what == .spike && !skipped.contains($0.step) }.map(\.step)
      return skipped.map {
        Mark("skipped step", x: Double($0), .flag, isComparison ? color(index) : Self.skipColor)
      }
        + spikes.map { Mark("spike", x: Double($0), .flag, isComparison ? color(index) : Palette.colors[4]) }
    }
  }

  // MARK: Series

  private func color(_ run: Int) -> Color { Palette.colors[run % Palette.colors.count] }

  /// A faint line of the values and a strong one of their mean.
  private func curves(
    _ run: Int, _ value: (StepRecord) -> Double, isLogarithmic: Bool = false
  ) -> Curves {
    let raw = points(run, value)
    guard smoothing > 1 else { return Curves(raw: Series(nil, color(run), .line(width: 1.2), raw)) }
    let updated = Set(runs[run].history.steps.filter { $0.skipped == nil }.map { Double($0.step) })
    let mean = RunningMean.smooth(
      points(run, value, all: true), width: Double(smoothing), isLogarithmic: isLogarithmic,
      using: updated.contains)
    return Curves(
      raw: Series(nil, color(run), .line(width: 0.9, opacity: isComparison ? 0.25 : 0.4), raw),
      mean: Series(nil, color(run), .line(width: 1.6), mean.filter { isShown($0.x) }))
  }

  private struct Curves {
    var raw: Series
    /// nil: not smoothed.
    var mean: Series?
    var all: [Series] { [raw] + (mean.map { [$0] } ?? []) }
  }

  /// One point a step, and a missing one where steps are missing.
  private func points(_ run: Int, _ value: (StepRecord) -> Double, all: Bool = false) -> [Series.Point] {
    let steps = runs[run].history.steps
    let strides = zip(steps, steps.dropFirst()).map { $1.step - $0.step }.sorted()
    let usual = strides.isEmpty ? 1 : strides[strides.count / 2]
    var points: [Series.Point] = []
    var last: Int?
    for record in steps where all || shown.contains(record.step) {
      if let last, record.step - last > usual { points.append(.init(Double(last + usual), nil)) }
      let value = value(record)
      points.append(.init(Double(record.step), value.isFinite ? value : nil))
      last = record.step
    }
    return points
  }

  private func evaluations(_ run: Int, _ value: (EvaluationRecord) -> Double?) -> [Series.Point] {
    runs[run].history.evaluations.filter { shown.contains($0.step) }.compactMap { record in
      value(record).map { .init(Double(record.step), $0.isFinite ? $0 : nil) }
    }
  }

  private func isShown(_ step: Double) -> Bool {
    step >= Double(shown.lowerBound) && step <= Double(shown.upperBound)
  }
}

extension RunHistory {
  /// The evaluation with the lowest loss.
  var best: EvaluationRecord? {
    evaluations.filter(\.loss.isFinite).min { $0.loss < $1.loss }
  }
}
