import ArgumentParser
import Foundation
import GoldenCases
import ToolSupport

struct Golden: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Take every golden case of a folder through a real daemon and compare.",
    discussion: """
      Each case is streamed in whole, by 1, by 7 and by lag tokens, an LRSA case in its own chunks too, inline and through the
      arena, and each of these again with kill -9 and a restart half way. Kept positions must be equal; attention and log-sum-exp within \(GoldenRun.tolerance)
      absolute. LRSA cases are then gone back over in descending chunks: attention recomputed, and the gradients of queries, keys \
      and values within \(GoldenRun.gradientTolerance) absolute. One line a case; the exit code is 1 if any case misses.

      EXAMPLES
        lagoon-bench golden Tests/Fixtures/golden
        lagoon-bench golden Tests/Fixtures/golden --only lrsa --json
      """)

  @Argument(help: "A folder of NAME.json and NAME.safetensors.")
  var folder: String

  @Option(help: "Only cases whose name contains this.")
  var only: String?

  @OptionGroup var output: JSONOption

  func run() throws {
    let cases = try GoldenCase.all(in: folder).filter { only.map($0.name.contains) ?? true }
    guard !cases.isEmpty else { throw ToolError("no case in \(folder) is called *\(only ?? "")*") }
    let daemon = try PrivateDaemon()
    defer { daemon.stop() }
    var rows: [Row] = []
    for golden in cases {
      var errors = GoldenErrors()
      let variants = GoldenVariant.all(of: golden)
      for variant in variants {
        errors.merge(try GoldenRun(golden: golden, variant: variant, daemon: daemon).run())
      }
      rows.append(Row(golden.name, runs: variants.count, errors))
      if !output.json { try Output.write(rows[rows.count - 1].line + "\n") }
    }
    let failed = rows.filter { !$0.misses.isEmpty }.count
    if output.json {
      try Output.json(rows)
    } else {
      let runs = rows.reduce(0) { $0 + $1.runs }
      try Output.write("\(rows.count - failed) of \(rows.count) cases pass, \(runs) runs in all\n")
    }
    if failed > 0 { throw ExitCode(1) }
  }

  /// What a case came to.
  private struct Row: Encodable {
    let name: String
    let pass: Bool
    let runs: Int
    let worstOut: Double
    let worstLogSumExp: Double
    let worstGradient: Double
    let misses: [String]

    init(_ name: String, runs: Int, _ errors: GoldenErrors) {
      self.name = name
      self.runs = runs
      pass = errors.misses.isEmpty
      worstOut = errors.out
      worstLogSumExp = errors.logSumExp
      worstGradient = errors.gradients
      misses = errors.misses
    }

    var line: String {
      var figures = String(format: "out %.1e, log-sum-exp %.1e", worstOut, worstLogSumExp)
      if worstGradient > 0 { figures += String(format: ", gradients %.1e", worstGradient) }
      let head = "\(pass ? "pass" : "MISS")  \(name): \(figures)"
      return ([head] + misses.prefix(6).map { "      \($0)" }).joined(separator: "\n")
    }
  }
}
