import ArgumentParser
import Charts
import Foundation
import RunRecord
import ToolSupport

struct Plot: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Draw a run's loss, learning rate, gradient norm, tokens/s and kept-set drift.",
    discussion: """
      Reads metrics.jsonl in the run's folder; the run may still be going on. Several runs are drawn into one picture, each in its \
      colour. Steps that were skipped, loss spikes and resumes are marked. The smoothed curves are exponential means to both \
      sides, from which skipped steps are left out.

      EXAMPLES
        lagoon-train plot runs/lrsa
        lagoon-train plot runs/lrsa -o lrsa.png --from 100
        lagoon-train plot runs/dense runs/lrsa --title "Dense and LRSA" -o comparison.svg
      """)

  @Argument(help: ArgumentHelp("Folders of runs.", valueName: "run"), completion: .directory)
  var runs: [String]

  @Option(
    name: .shortAndLong,
    help: "The file to write, .svg or .png (default: plot.svg in the run's folder).",
    completion: .file(extensions: ["svg", "png"]))
  var output: String?

  @Option(help: "The picture's title (default: the runs' names).")
  var title: String?

  @Option(
    help: ArgumentHelp(
      "Smooth over so many steps; 1: not at all (default: a fiftieth of them).", valueName: "steps"))
  var smooth: Int?

  @Option(help: ArgumentHelp("Show steps from this one on.", valueName: "step"))
  var from: Int?

  @Option(help: ArgumentHelp("Show steps up to this one.", valueName: "step"))
  var to: Int?

  @Flag(help: "Print what was drawn as JSON.")
  var json = false

  func validate() throws {
    guard !runs.isEmpty else { throw ValidationError("Name the folder of a run.") }
    guard runs.count == 1 || output != nil else {
      throw ValidationError("With several runs, name the file to write: -o comparison.svg.")
    }
    guard smooth ?? 1 >= 1 else { throw ValidationError("--smooth must be at least 1.") }
    guard from ?? 0 >= 0, from ?? 0 < to ?? Int.max else {
      throw ValidationError("--from must be at least 0 and below --to.")
    }
  }

  func run() throws {
    let output = output ?? (runs[0] as NSString).appendingPathComponent("plot.svg")
    // Before the runs are read: another ending is refused at once.
    _ = try Figure.FileKind(path: output)
    let histories = try runs.map { folder in try RunHistory(folder: folder) }
    for (folder, history) in zip(runs, histories) where history.steps.isEmpty && history.evaluations.isEmpty {
      throw ToolError("\(folder): nothing is recorded yet; the first record comes with the first step")
    }
    var drawing = RunFigure(runs: Array(zip(names(histories), histories)))
    drawing.title = title ?? drawing.title
    drawing.smoothing = smooth ?? drawing.smoothing
    drawing.shown = (from ?? 0)...(to ?? Int.max)
    let charts = drawing.charts()
    guard charts.contains(where: \.hasValues) else {
      throw ToolError("there are no values from step \(from ?? 0) to \(to.map(String.init) ?? "the last")")
    }
    try drawing.figure(charts).write(to: output)
    try report(output, histories, charts)
  }

  /// The folders' names; their paths where two are named alike.
  private func names(_ histories: [RunHistory]) -> [String] {
    let isUnique = Set(histories.map(\.name)).count == histories.count
    return isUnique ? histories.map(\.name) : runs
  }

  // MARK: Report

  private struct Report: Encodable {
    struct Run: Encodable {
      var folder: String
      var steps: Int
      var tokens: Int
      var loss: Double?
      var bestHeldOutLoss: Double?
      var bestStep: Int?
      var skippedSteps: Int
      var spikes: Int
      var resumes: Int
      var tornLine: Int?

      enum CodingKeys: String, CodingKey {
        case folder, steps, tokens, loss, spikes, resumes
        case bestHeldOutLoss = "best_held_out_loss"
        case bestStep = "best_step"
        case skippedSteps = "skipped_steps"
        case tornLine = "torn_line"
      }

      init(_ folder: String, _ history: RunHistory) {
        self.folder = folder
        let best = history.best
        steps = history.steps.last?.step ?? 0
        tokens = history.steps.last?.tokens ?? 0
        loss = history.steps.last?.loss
        bestHeldOutLoss = best?.loss
        bestStep = best?.step
        skippedSteps = history.steps.count { $0.skipped != nil }
        spikes = history.events.count { $0.what == .spike }
        resumes = history.events.count { $0.what == .resume }
        tornLine = history.tornLine
      }
    }
    var output: String
    var panels: [String]
    var runs: [Run]
  }

  private func report(_ output: String, _ histories: [RunHistory], _ charts: [Chart]) throws {
    let drawn = charts.filter(\.hasValues).map(\.title)
    for (folder, history) in zip(runs, histories) {
      if let line = history.tornLine {
        Output.note("\(folder): line \(line) of the record has no end yet; it was left out")
      }
    }
    for chart in charts where !chart.hasValues {
      Output.note("\(chart.title): no values, so its panel was left out")
    }
    if json {
      let reports = zip(runs, histories).map { Report.Run($0, $1) }
      return try Output.json(Report(output: output, panels: drawn, runs: reports))
    }
    try Output.write("\(output): \(drawn.joined(separator: ", "))\n")
  }
}
