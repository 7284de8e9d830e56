import ArgumentParser
import Inspection

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
    if json { return try Terminal.print(json: stats) }
    var table = TextTable([("STORE", .left), ("", .right)])
    table.add(["sessions", Numbers.grouped(stats.sessions)])
    table.add(["in use", Numbers.bytes(stats.liveBytes)])
    table.add(["deleted, not yet reclaimed", Numbers.bytes(stats.unreclaimedBytes)])
    table.add(["file", Numbers.bytes(stats.fileBytes)])
    if let quota = stats.quotaBytes { table.add(["quota", Numbers.bytes(quota)]) }
    table.add(["quarantined records", Numbers.grouped(stats.quarantinedRecords)])
    print(table.text, terminator: "")
    guard let daemon = stats.daemon else { return }
    table = TextTable([("DAEMON", .left), ("", .right)])
    table.add(["version", daemon.version])
    table.add(["durability", daemon.durability])
    table.add(["up for", Numbers.duration(seconds: daemon.uptimeSeconds)])
    table.add(["connections", Numbers.grouped(daemon.connections)])
    table.add(["commits", Numbers.grouped(daemon.commits)])
    table.add(["commit groups (transactions)", Numbers.grouped(daemon.commitGroups)])
    table.add(["committed tokens", Numbers.grouped(daemon.committedTokens)])
    table.add(["pages written (4 KiB)", Numbers.grouped(daemon.pagesWritten)])
    table.add(["attend calls", Numbers.grouped(daemon.attendCalls)])
    table.add(["step calls", Numbers.grouped(daemon.stepCalls)])
    table.add(["requests", Numbers.grouped(daemon.requests)])
    table.add(["failed requests", Numbers.grouped(daemon.failedRequests)])
    table.add(["staged rows", Numbers.bytes(daemon.stagedBytes)])
    table.add(["arenas", Numbers.bytes(daemon.arenaBytes)])
    table.add(["resident, anonymous", Numbers.bytes(daemon.residentAnonymousBytes)])
    print("\n" + table.text, terminator: "")
  }
}
