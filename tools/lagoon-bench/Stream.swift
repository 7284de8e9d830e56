import ArgumentParser
import Foundation
import LagKV
import LagoonClient
import ToolSupport

struct Stream: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "One long session: does a commit cost the same at its end as at its start?",
    discussion: """
      Streams synthetic rows (4 layers × 2 KV heads × 64, bf16; sinks 16, lag 128, ratio 1/4) in 128-token chunks with a commit
      each, and compares the hundred commits before the first mark with the hundred before the last: pages written, counted by
      the store, time, and the daemon's anonymous memory.
      """)

  @Option(help: "Tokens at the first mark.")
  var from = 10_000

  @Option(help: "Tokens at the last mark.")
  var to = 1_000_000

  @Option(help: "Durability: process, ordered or full.")
  var durability = "process"

  @OptionGroup var output: JSONOption

  func validate() throws {
    guard from > 100 * 128, to > from else {
      throw ValidationError("--from must be above 12,800 tokens and --to above --from")
    }
  }

  func run() throws {
    let daemon = try PrivateDaemon(durability: durability)
    defer { daemon.stop() }
    let connection = try LagoonConnection(socketPath: daemon.socketPath, arenaBytes: 4 << 20)
    var shape = BenchShape()
    (shape.layers, shape.kvHeads, shape.headDim) = (4, 2, 64)
    let session = try connection.createSession(shape.session("bench-stream", .bfloat16))
    try session.begin(capacity: 128)
    var rows = SyntheticRows(seed: 19)
    let chunks = (0..<16).map { _ in
      rows.tensor(.bfloat16, tokens: 128, heads: shape.kvHeads, headDim: shape.headDim)
    }
    var early: Mark?
    var window = Window()
    let progress = ProgressLine(total: to, unit: "tokens")
    for index in 0..<to / 128 {
      for layer in 0..<shape.layers {
        let k = chunks[(index + layer) % 16]
        try session.append(layer: layer, keys: k, values: chunks[(3 * index + layer + 5) % 16])
      }
      let ids = (index * 128..<(index + 1) * 128).map(UInt32.init)
      window.add(try seconds { try session.commit(tokenIDs: ids, keepWriting: true) })
      let tokens = (index + 1) * 128
      progress.update(tokens)
      if tokens == from / 128 * 128 - 100 * 128 || tokens == to / 128 * 128 - 100 * 128 {
        window = Window(pagesBefore: try connection.stats().pagesWritten)
      }
      if tokens == from / 128 * 128 { early = Mark(tokens, window, try connection.stats()) }
    }
    progress.finish()
    let late = Mark(to / 128 * 128, window, try connection.stats())
    try session.abort()
    guard let early else { throw ToolError("the first mark was never reached") }
    try report(
      [
        Figure(
          name: "pages a commit writes at \(late.tokens) tokens", figure: late.pages, ceiling: early.pages,
          unit: "pages", ceilingIs: "at \(early.tokens) tokens"),
        Figure(
          name: "commit time at \(late.tokens) tokens", figure: late.milliseconds,
          ceiling: early.milliseconds,
          unit: "ms p50", ceilingIs: "at \(early.tokens) tokens"),
        Figure(
          name: "daemon's anonymous memory at \(late.tokens) tokens", figure: late.megabytes,
          ceiling: early.megabytes, unit: "MB", ceilingIs: "at \(early.tokens) tokens",
          details: ["file_megabytes": late.fileMegabytes]),
      ], json: output.json)
  }

  /// Commits since a point.
  private struct Window {
    var pagesBefore = 0
    var times: [Double] = []
    mutating func add(_ time: Double) { times.append(time) }
  }

  /// What the hundred commits before a mark came to.
  private struct Mark {
    let tokens: Int
    let pages: Double
    let milliseconds: Double
    let megabytes: Double
    let fileMegabytes: Double

    init(_ tokens: Int, _ window: Window, _ stats: DaemonStatistics) {
      self.tokens = tokens
      pages = Double(stats.pagesWritten - window.pagesBefore) / Double(window.times.count)
      milliseconds = window.times.median * 1e3
      megabytes = Double(stats.residentAnonymousBytes) / 1e6
      fileMegabytes = Double(stats.fileBytes) / 1e6
    }
  }
}
