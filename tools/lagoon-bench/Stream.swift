import ArgumentParser
import Foundation
import LagKV
import LagoonClient
import ToolSupport

struct Stream: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "One long session: does a commit cost as much at its end as at its start?",
    discussion: """
      Streams synthetic rows (4 layers × 2 KV heads × 64, bf16; sinks 16, lag 128, ratio 1/4) in 128-token chunks with a commit
      each into two daemons, one to a short and one to a long session. Then both go on in turns: pages written, counted by the
      store, time, and each daemon's anonymous memory are compared.
      """)

  @Option(help: "Tokens of the short session.")
  var from = 10_000

  @Option(help: "Tokens of the long session.")
  var to = 1_000_000

  @Option(help: "Commits of each session that are measured.")
  var commits = 200

  @Option(help: "Durability: process, ordered or full.")
  var durability = "process"

  @OptionGroup var output: JSONOption

  func validate() throws {
    guard from >= 128, to > from, commits > 0 else {
      throw ValidationError("--from must be at least 128, --to above it, and --commits positive")
    }
  }

  func run() throws {
    let short = try LongSession(durability: durability)
    let long = try LongSession(durability: durability)
    defer {
      short.daemon.stop()
      long.daemon.stop()
    }
    let progress = ProgressLine(total: to, unit: "tokens")
    while short.tokens < from / 128 * 128 { _ = try short.commitChunk() }
    while long.tokens < to / 128 * 128 {
      _ = try long.commitChunk()
      progress.update(long.tokens)
    }
    progress.finish()
    let (early, late) = (try short.mark(), try long.mark())
    var (shortTimes, longTimes) = ([Double](), [Double]())
    for _ in 0..<commits {
      shortTimes.append(try short.commitChunk())
      longTimes.append(try long.commitChunk())
    }
    let (earlyEnd, lateEnd) = (try short.mark(), try long.mark())
    func pages(_ from: DaemonStatistics, _ to: DaemonStatistics) -> Double {
      Double(to.pagesWritten - from.pagesWritten) / Double(commits)
    }
    let ceilingIs = "at \(from) tokens"
    try report(
      [
        Figure(
          name: "pages a commit writes at \(to) tokens", figure: pages(late, lateEnd),
          ceiling: pages(early, earlyEnd), unit: "pages", ceilingIs: ceilingIs),
        Figure(
          name: "commit time at \(to) tokens", figure: longTimes.median * 1e3,
          ceiling: shortTimes.median * 1e3, unit: "ms p50", ceilingIs: ceilingIs),
        Figure(
          name: "daemon's anonymous memory at \(to) tokens",
          figure: Double(late.residentAnonymousBytes) / 1e6,
          ceiling: Double(early.residentAnonymousBytes) / 1e6, unit: "MB", ceilingIs: ceilingIs,
          details: ["file_megabytes": Double(late.fileBytes) / 1e6]),
      ], json: output.json)
  }
}

/// A session of synthetic rows that grows by chunks of 128 tokens, in a daemon of its own.
private final class LongSession {
  let daemon: PrivateDaemon
  private let connection: LagoonConnection
  private let session: RemoteSession
  private let chunks: [HostTensor]
  private let shape: BenchShape
  private(set) var tokens = 0

  init(durability: String) throws {
    daemon = try PrivateDaemon(durability: durability)
    connection = try LagoonConnection(socketPath: daemon.socketPath, arenaBytes: 4 << 20)
    var shape = BenchShape()
    (shape.layers, shape.kvHeads, shape.headDim) = (4, 2, 64)
    self.shape = shape
    session = try connection.createSession(shape.session("bench-stream", .bfloat16))
    try session.begin(capacity: 128)
    var rows = SyntheticRows(seed: 19)
    chunks = (0..<16).map { _ in
      rows.tensor(.bfloat16, tokens: 128, heads: shape.kvHeads, headDim: shape.headDim)
    }
  }

  /// Appends a chunk to every layer and commits it; the seconds that the commit took.
  func commitChunk() throws -> Double {
    let index = tokens / 128
    for layer in 0..<shape.layers {
      let keys = chunks[(index + layer) % 16]
      try session.append(layer: layer, keys: keys, values: chunks[(3 * index + layer + 5) % 16])
    }
    let ids = (tokens..<tokens + 128).map(UInt32.init)
    tokens += 128
    return try seconds { try session.commit(tokenIDs: ids, keepWriting: true) }
  }

  func mark() throws -> DaemonStatistics { try connection.stats() }
}
