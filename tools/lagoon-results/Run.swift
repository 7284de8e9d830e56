import ArgumentParser
import ClaimExperiment
import Foundation
import ToolSupport

struct Run: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Train and measure, or go on where an earlier run ended.",
    discussion: """
      Whatever is finished stands in FOLDER/stages and is not done again; a training that was stopped or killed goes on at its last \
      checkpoint. Ctrl-C ends within seconds and loses little. The same command goes on.

      EXAMPLES
        lagoon-results run --folder results
        lagoon-results run --folder results-smoke --smoke
      """)

  @Option(help: "The experiment's folder.", completion: .directory)
  var folder: String

  @Option(help: "Seeds: training documents and their order, the same in every arm.")
  var seeds = 5

  @Option(help: "Steps of a training.")
  var steps: Int?

  @Option(help: "Documents of a step.")
  var documentsPerStep: Int?

  @Option(help: "Documents of the main test set; the others are smaller.")
  var documents: Int?

  @Flag(help: "Two seeds, 40 steps, few documents: does the machinery work? The figures show nothing.")
  var smoke = false

  @Option(help: "Folder of the model that is trained.", completion: .directory)
  var model = "data/kjv-tiny"

  @Option(help: "The text, without digits (default: what Debian's `bible` prints).", completion: .file())
  var text: String?

  @Option(help: "Bytes of a training document.")
  var length = 2048

  @Option(help: "Tokens of a partition.")
  var lag = 64

  @Option(
    help: "Most numbers of a training document; the fewest are a quarter, a test document's most a half.")
  var numbers = 16

  @Option(
    help: "Programs at a time; each has its share of the cores (default: one for each core, at most 4).")
  var jobs: Int?

  func validate() throws {
    guard (1...10).contains(seeds) else { throw ValidationError("--seeds \(seeds) is not in 1...10.") }
    guard steps ?? 1 >= 1 else { throw ValidationError("--steps \(steps ?? 0): at least 1 is needed.") }
    guard (1...1024).contains(documentsPerStep ?? 1) else {
      throw ValidationError("--documents-per-step \(documentsPerStep ?? 0) is not in 1...1024.")
    }
    guard documents ?? 1 >= 1 else {
      throw ValidationError("--documents \(documents ?? 0): at least 1 is needed.")
    }
    guard (1...64).contains(jobs ?? 1) else { throw ValidationError("--jobs \(jobs ?? 0) is not in 1...64.") }
    guard numbers >= 1 else { throw ValidationError("--numbers \(numbers): at least 1 is needed.") }
  }

  func run() throws {
    let design = ExperimentDesign(
      model: URL(filePath: model).standardizedFileURL.path, seeds: Array(1...(smoke ? min(seeds, 2) : seeds)),
      steps: steps ?? (smoke ? 40 : 500), documentsPerStep: documentsPerStep ?? 1,
      documents: documents ?? (smoke ? 12 : 150), length: length,
      lag: lag,
      numbers: max(1, numbers / 4)...numbers, isSmoke: smoke)
    let folder = try ResultsFolder(self.folder)
    let lock = try folder.take()
    defer { close(lock) }
    try folder.settle(design)
    try folder.prepare(text: text)
    let cores = ProcessInfo.processInfo.activeProcessorCount
    let jobs = self.jobs ?? min(cores, 4)
    let runner = StageRunner(
      folder: folder, program: try PrivateDaemon.findExecutable("lagoon-train"), jobs: jobs,
      threads: max(1, cores / jobs))
    let plan = StagePlan(design)
    // The ratio does not change how much there is to do.
    try runner.run(plan.pilot(), later: plan.main(ratio: RatioChoice.candidates[0]))
    guard let choice = try folder.measurements().choice else { throw ToolError("the pilot has no figures") }
    Output.note(
      "r = \(Ratio.text(choice.ratio)), where the pilot's dense control recalls \(Int((100 * choice.recall).rounded()))%"
    )
    guard choice.isInRange || smoke else {
      throw ToolError(
        "no ratio of the pilot's is one where the dense control recalls 20–70%: the design of docs/results.md has no r for this "
          + "model; see \(folder.path)/stages/\(TrainedModel.pilot.stage(of: "pilot")).json")
    }
    try runner.run(plan.main(ratio: choice.ratio), later: [])
    Output.note(
      smoke
        ? "a smoke run: the machinery works; its figures show nothing"
        : "everything is measured: lagoon-results report --folder \(self.folder) -o docs/results.md")
  }
}
