import ArgumentParser
import Charts
import ClaimExperiment
import DurableFiles
import Foundation
import ToolSupport

struct Report: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Put what has been measured into a document.",
    discussion: """
      Fills the places of a Markdown document, each between a line <!-- claim: NAME --> and a line <!-- end -->, and draws \
      images/claim.svg beside it. What has not been measured is said to be so. The rest of the document stays as it is.

      EXAMPLES
        lagoon-results report --folder results -o docs/results.md
        lagoon-results report --folder results-smoke --document docs/results.md -o results-smoke/results.md
      """)

  @Option(help: "The experiment's folder.", completion: .directory)
  var folder: String

  @Option(
    help: "The document with the places (default: the one that is written).",
    completion: .file(extensions: ["md"]))
  var document: String?

  @Option(name: .shortAndLong, help: "The document to write.", completion: .file(extensions: ["md"]))
  var output: String

  static let image = "images/claim.svg"

  func run() throws {
    guard FileManager.default.fileExists(atPath: folder) else {
      throw ToolError("\(folder) is not there; `lagoon-results run --folder \(folder)` makes it")
    }
    let source = document ?? output
    let text = String(decoding: try Input.file(source), as: UTF8.self)
    let folder = try ResultsFolder(self.folder)
    let measurements = try folder.measurements()
    if measurements.design.isSmoke, document == nil {
      throw ToolError(
        "\(self.folder) is a smoke run, whose figures show nothing: write them to a document of their own, with --document \(output) "
          + "-o \(self.folder)/results.md")
    }
    var filled: MarkedDocument
    do throws(MarkedDocument.Flaw) {
      filled = try MarkedDocument(text)
    } catch {
      throw ToolError("\(source): \(error)")
    }
    var parts = ["status": try status(measurements, seconds: folder.seconds())]
    if let tables = ResultTables(measurements) {
      parts.merge(tables.parts()) { $1 }
      if parts["seeds"] != nil { parts["figure"] = try draw(tables.figure()) }
    }
    if let stray = parts.keys.sorted().first(where: { !filled.places.contains($0) }) {
      throw ToolError("\(source) has no place <!-- claim: \(stray) -->")
    }
    filled.fill(parts, missing: "Not run yet.")
    try AtomicFile.write(Data(filled.text.utf8), to: output)
    try Output.write("\(output): \(parts.keys.sorted().joined(separator: ", "))\n")
    let missing = filled.places.filter { parts[$0] == nil }
    if !missing.isEmpty { Output.note("not run yet: \(missing.joined(separator: ", "))") }
  }

  /// Draws beside the document.
  private func draw(_ figure: Figure) throws -> String {
    let path = URL(filePath: output).deletingLastPathComponent().appending(path: Self.image)
    do {
      try FileManager.default.createDirectory(
        at: path.deletingLastPathComponent(), withIntermediateDirectories: true)
    } catch {
      throw ToolError("cannot make the folder of \(path.path): \(error.localizedDescription)")
    }
    try figure.write(to: path.path)
    return "![Exact recall of every arm and seed](\(Self.image))"
  }

  private func status(_ measurements: Measurements, seconds: Double) -> String {
    let design = measurements.design
    let trained = design.seeds.filter { seed in
      Arm.trained.allSatisfy { !measurements.recall($0, "main", .full).keys.filter { $0 == seed }.isEmpty }
    }
    let warning =
      design.isSmoke ? "**A smoke run: it shows that the machinery works, and nothing else.** " : ""
    return warning
      + "Measured: \(trained.count) of \(design.seeds.count) seeds, \(design.steps) steps, \(design.documents) documents in the main "
      + "test set; \(Units.seconds(seconds)) of programs, side by side; \(measurements.compute ?? "nothing computed yet").\n"
  }
}
