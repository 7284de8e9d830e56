import ArgumentParser
import Charts
import DurableFiles
import Foundation
import ToolSupport

struct Report: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Make a page of tables and a picture out of what the benchmarks printed as JSON.",
    discussion: """
      The folder holds one file for each benchmark, NAME.json, and compare-NAME.json for each of tools/compare's. A part of the page \
      between the two lines of the mark `by hand` is kept as it is.

      EXAMPLES
        tools/scripts/benchmarks.sh benchmarks
        lagoon-bench report benchmarks -o docs/benchmarks.md
      """)

  @Argument(help: "Folder of the results.")
  var folder: String

  @Option(
    name: .shortAndLong,
    help: "The page that is written; its picture goes to images/benchmarks.svg beside it.")
  var output: String

  func run() throws {
    let results = try BenchmarkResults(folder: folder)
    let page = URL(fileURLWithPath: output)
    let images = page.deletingLastPathComponent().appendingPathComponent("images")
    try FileManager.default.createDirectory(at: images, withIntermediateDirectories: true)
    let byHand = (try? String(contentsOf: page, encoding: .utf8)).flatMap(BenchmarkPage.byHand) ?? ""
    let text = BenchmarkPage(results).text(byHand: byHand)
    try AtomicFile.write(Data(text.utf8), to: output)
    if let picture = BenchmarkPicture(results).figure {
      try picture.write(to: images.appendingPathComponent("benchmarks.svg").path)
    }
  }
}

/// What a folder of results holds.
struct BenchmarkResults {
  /// By file, in the page's order.
  private(set) var figures: [(file: String, figures: [Figure])] = []
  private(set) var comparisons: [Comparison] = []

  /// Rates of several programs that did the same work in turns.
  struct Comparison {
    var name: String
    var unit: String
    var rates: [String: Double]
    /// The best of the others.
    var best: String
    var ratio: Double { (rates["lagoon"] ?? .nan) / (rates[best] ?? .nan) }
  }

  private static let order = [
    "memory", "compress", "attend-decode", "attend-chunk", "backward", "latency", "append-process",
    "append-ordered", "append-layers", "decode", "tokens", "rounding", "clients", "churn", "open", "ageing",
    "growth", "codec",
  ]

  init(folder: String) throws {
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder) else {
      throw ToolError("there is no folder \(folder)")
    }
    let files = names.filter { $0.hasSuffix(".json") }.map { String($0.dropLast(5)) }.sorted()
    guard !files.isEmpty else { throw ToolError("\(folder) holds no results: NAME.json") }
    func place(_ file: String) -> Int { Self.order.firstIndex(of: file) ?? Self.order.count }
    for file in files.sorted(by: { (place($0), $0) < (place($1), $1) }) {
      let path = "\(folder)/\(file).json"
      do {
        let data = try Data(contentsOf: URL(fileURLWithPath: path))
        if file.hasPrefix("compare-") {
          comparisons += try Self.comparisons(data)
        } else {
          figures.append((file, try JSONDecoder().decode([Figure].self, from: data)))
        }
      } catch {
        throw ToolError("\(path) is not what a benchmark prints with --json: \(error)")
      }
    }
  }

  private struct Attention: Decodable {
    var name: String
    var gigabytesPerSecond: [String: Double]
    var best: String
  }

  private struct Ingest: Decodable {
    var tokens: Int
    var tokensPerSecond: [String: Double]
    var bestUncompressed: String
  }

  private static func comparisons(_ data: Data) throws -> [Comparison] {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    if let list = try? decoder.decode([Attention].self, from: data) {
      return list.map { Comparison(name: $0.name, unit: "GB/s", rates: $0.gigabytesPerSecond, best: $0.best) }
    }
    let ingest = try decoder.decode(Ingest.self, from: data)
    return [
      Comparison(
        name: "ingest of \(ingest.tokens) tokens", unit: "tokens/s", rates: ingest.tokensPerSecond,
        best: ingest.bestUncompressed)
    ]
  }
}
