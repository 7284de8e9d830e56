import ArgumentParser
import Foundation
import LagKV
import LagoonClient
import ToolSupport

struct Churn: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Sessions that come and go: do commits stay as cheap, and does the file stop growing?",
    discussion: """
      Rounds of synthetic rows (4 layers × 2 KV heads × 64, bf16; sinks 16, lag 128, ratio 1/4) in 128-token chunks with a
      commit each, through interleaved sessions of one daemon; then all are deleted. The figures are of the last round, the
      ceilings of the first (commits) and the second (the file). LMDB reuses the pages that have been free for longest, so the store frees
      those of deleted sessions only as commits need them. Plain writes show what it costs to write all over the file.
      """)

  @Option(help: "Tokens of a round, in all sessions together.")
  var tokens = 1_000_000

  @Option(help: "Sessions that take turns.")
  var sessions = 6

  @Option(help: "Rounds.")
  var rounds = 10

  @Option(help: "Durability: process, ordered or full.")
  var durability = "process"

  @OptionGroup var output: JSONOption

  func validate() throws {
    guard sessions > 0, tokens >= 128 * sessions, rounds >= 2 else {
      throw ValidationError("--sessions must be positive, --tokens 128 for each, and --rounds at least 2")
    }
  }

  func run() throws {
    let daemon = try PrivateDaemon(durability: durability)
    defer { daemon.stop() }
    let connection = try LagoonConnection(socketPath: daemon.socketPath, arenaBytes: 4 << 20)
    let progress = ProgressLine(total: tokens * rounds, unit: "tokens")
    var (medians, files, pages) = ([Double](), [Double](), [Double]())
    for round in 0..<rounds {
      let before = try connection.stats().pagesWritten
      let times = try write(connection) { progress.update(round * tokens + $0) }
      let after = try connection.stats()
      medians.append(times.median)
      files.append(Double(after.fileBytes))
      pages.append(Double(after.pagesWritten - before) / Double(times.count))
      for session in try connection.listSessions() { try connection.deleteSession(session.name) }
    }
    progress.finish()
    let (near, far) = try plainWrites(
      fileBytes: Int(files[rounds - 1]), directory: URL(fileURLWithPath: daemon.folder))
    try report(
      [
        Figure(
          name: "commit time of round \(rounds)", figure: medians[rounds - 1] * 1e3,
          ceiling: medians[0] * 1e3,
          unit: "ms p50", ceilingIs: "round 1", target: .atMost(1.2),
          details: ["slowest_round_by_round_1": (medians.max() ?? 0) / medians[0]]),
        Figure(
          name: "pages a commit writes in round \(rounds)", figure: pages[rounds - 1], ceiling: pages[0],
          unit: "pages", ceilingIs: "round 1"),
        Figure(
          name: "plain writes of \(Self.slabs) slabs, all over the file", figure: far * 1e3,
          ceiling: near * 1e3,
          unit: "ms p50", ceilingIs: "over the same \(3 * Self.slabs) again and again"),
        Figure(
          name: "file after round \(rounds)", figure: files[rounds - 1] / 1e6, ceiling: files[1] / 1e6,
          unit: "MB",
          ceilingIs: "round 2", target: .atMost(1), details: ["file_megabytes_round_1": files[0] / 1e6]),
      ], json: output.json)
  }

  /// About as many as a commit writes.
  private static let slabs = 12

  /// Medians in seconds: over a few places again and again, and over all of a file of that size.
  private func plainWrites(fileBytes: Int, directory: URL) throws -> (near: Double, far: Double) {
    let plain = try Ceiling.PlainWrites(bytes: fileBytes, directory: directory)
    var (near, far) = ([Double](), [Double]())
    for _ in 0..<20 {
      for _ in 0..<20 { far.append(try plain.measure(Self.slabs)) }
      for _ in 0..<20 { near.append(try plain.measure(Self.slabs, places: 3 * Self.slabs)) }
    }
    return (near.median, far.median)
  }

  /// One round; the seconds that each commit took.
  private func write(_ connection: LagoonConnection, _ progress: (Int) -> Void) throws -> [Double] {
    var shape = BenchShape()
    (shape.layers, shape.kvHeads, shape.headDim) = (4, 2, 64)
    var rows = SyntheticRows(seed: 41)
    let chunks = (0..<8).map { _ in
      rows.tensor(.bfloat16, tokens: 128, heads: shape.kvHeads, headDim: shape.headDim)
    }
    let open = try (0..<sessions).map { number in
      let session = try connection.createSession(shape.session("churn-\(number)", .bfloat16))
      try session.begin(capacity: 128)
      return session
    }
    var times: [Double] = []
    for start in stride(from: 0, to: tokens / sessions / 128 * 128, by: 128) {
      let ids = (start..<start + 128).map(UInt32.init)
      for (number, session) in open.enumerated() {
        for layer in 0..<shape.layers {
          let at = start / 128 + number + layer
          try session.append(layer: layer, keys: chunks[at % 8], values: chunks[(3 * at + 5) % 8])
        }
        times.append(try seconds { try session.commit(tokenIDs: ids, keepWriting: true) })
      }
      progress(start * sessions)
    }
    for session in open {
      try session.abort()
      try session.close()
    }
    return times
  }
}
