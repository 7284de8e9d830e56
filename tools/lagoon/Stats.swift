import ArgumentParser
import Inspection
import ToolSupport

struct Stats: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show sizes and counters of the store and its daemon.",
    discussion: """
      EXAMPLES
        lagoon stats
        lagoon stats --json | jq .daemon.resident_anonymous_bytes
      """)

  @OptionGroup var source: SourceOptions
  @Flag(help: "Print JSON.") var json = false

  func run() throws {
    let stats = try source.open().statistics()
    if json { return try Output.json(stats) }
    var table = Table([("STORE", .left), ("", .right)])
    table.add(["sessions", Units.count(stats.sessions)])
    table.add(["in use", Units.bytes(stats.liveBytes)])
    table.add(["deleted, not yet reclaimed", Units.bytes(stats.unreclaimedBytes)])
    table.add(["file", Units.bytes(stats.fileBytes)])
    if let quota = stats.quotaBytes { table.add(["quota", Units.bytes(quota)]) }
    table.add(["quarantined records", Units.count(stats.quarantinedRecords)])
    try Output.write(table.text)
    guard let daemon = stats.daemon else { return }
    table = Table([("DAEMON", .left), ("", .right)])
    table.add(["version", daemon.version])
    table.add(["durability", daemon.durability])
    table.add(["up for", Units.seconds(Double(daemon.uptimeSeconds))])
    table.add(["connections", Units.count(daemon.connections)])
    table.add(["commits", Units.count(daemon.commits)])
    table.add(["commit groups (transactions)", Units.count(daemon.commitGroups)])
    table.add(["committed tokens", Units.count(daemon.committedTokens)])
    table.add(["pages written (4 KiB)", Units.count(daemon.pagesWritten)])
    table.add(["attend calls", Units.count(daemon.attendCalls)])
    table.add(["step calls", Units.count(daemon.stepCalls)])
    table.add(["requests", Units.count(daemon.requests)])
    table.add(["failed requests", Units.count(daemon.failedRequests)])
    table.add(["staged rows", Units.bytes(daemon.stagedBytes)])
    table.add(["arenas", Units.bytes(daemon.arenaBytes)])
    table.add(["sessions compressed for their age", Units.count(daemon.demotions)])
    table.add(["sessions stored raw again", Units.count(daemon.promotions)])
    table.add(["resident, anonymous", Units.bytes(daemon.residentAnonymousBytes)])
    try Output.write("\n" + table.text)
  }
}
