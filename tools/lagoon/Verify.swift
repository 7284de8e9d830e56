import ArgumentParser
import Inspection

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
    let showsProgress = Terminal.showsProgress
    let report = try source.verify(session) { done, all in
      if showsProgress, all > 0 { Terminal.note("\rchecking \(done * 100 / all)%") }
    }
    if showsProgress { Terminal.note("\r\u{1B}[K") }
    if json {
      try Terminal.print(json: report)
    } else {
      for damage in report.damage {
        var place: [String] = []
        if let session = damage.session { place.append("session \(session)") }
        if let layer = damage.layer { place.append("layer \(layer)") }
        if let partition = damage.partition { place.append("partition \(partition)") }
        print("damaged: " + (place.isEmpty ? "" : place.joined(separator: ", ") + ": ") + damage.message)
      }
      let records = "\(Numbers.grouped(report.records)) records, \(Numbers.bytes(report.bytes))"
      print("\(records): " + (report.damage.isEmpty ? "sound" : "\(report.damage.count) damaged"))
    }
    if !report.damage.isEmpty { throw ExitCode.failure }
  }
}
