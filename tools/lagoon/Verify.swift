import ArgumentParser
import Foundation
import Inspection
import ToolSupport

struct Verify: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Check the checksum and the place of every record.",
    discussion: """
      Exits with 1 if anything is damaged. Damaged records are served to nobody; everything else still is.

      EXAMPLES
        lagoon verify
        lagoon verify book --json
        lagoon verify --store /var/lib/lagoon
      """)

  @Argument(help: "The session to check (default: all).", completion: .sessionName) var session: String?
  @OptionGroup var source: SourceOptions
  @Flag(help: "Print JSON.") var json = false

  func run() throws {
    let source = try source.open()
    var line: ProgressLine?
    let report = try source.verify(session) { done, all in
      if line == nil {
        if isatty(STDERR_FILENO) == 1 { Output.note("checking \(Units.bytes(all))") }
        line = ProgressLine(total: all, unit: "bytes")
      }
      line?.update(done)
    }
    line?.finish()
    if json {
      try Output.json(report)
    } else {
      for damage in report.damage {
        var place: [String] = []
        if let session = damage.session { place.append("session \(session)") }
        if let layer = damage.layer { place.append("layer \(layer)") }
        if let partition = damage.partition { place.append("partition \(partition)") }
        try Output.write(
          "damaged: " + (place.isEmpty ? "" : place.joined(separator: ", ") + ": ") + damage.message + "\n")
      }
      let records = "\(Units.count(report.records)) records, \(Units.bytes(report.bytes))"
      let verdict = Self.verdict(damaged: report.damagedRecords, listed: report.damage.count)
      try Output.write("\(records): \(verdict)\n")
    }
    if report.damagedRecords > 0 { throw ExitCode.failure }
  }

  private static func verdict(damaged: Int, listed: Int) -> String {
    if damaged == 0 { return "sound" }
    let all = "\(Units.count(damaged)) damaged"
    return listed < damaged ? all + ", the first \(Units.count(listed)) listed" : all
  }
}
