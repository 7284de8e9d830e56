import ArgumentParser
import Foundation
import LagKV
import LagoonClient
import ToolSupport

struct Open: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "From starting the daemon on a full store to the first answer.",
    discussion: """
      A store of many sessions (4 layers × 2 KV heads × 64, bf16; sinks 16, lag 128, ratio 1/4). Each round starts a daemon on it,
      connects, opens one session and attends over one of its layers. The ceiling is reading that layer's rows from memory, and
      50 ms.
      """)

  @Option(help: "Sessions.")
  var sessions = 100

  @Option(help: "Tokens of each.")
  var tokens = 100_000

  @Option(help: "Starts.")
  var rounds = 9

  @Option(help: "Folder for the store. Default: temporary.", completion: .directory)
  var store: String?

  @OptionGroup var output: JSONOption

  func validate() throws {
    guard sessions > 0, tokens >= 256, rounds > 0 else {
      throw ValidationError("--sessions and --rounds must be positive and --tokens at least 256")
    }
  }

  func run() throws {
    let own = FileManager.default.temporaryDirectory
      .appendingPathComponent("lagoon-bench-\(ProcessInfo.processInfo.processIdentifier)")
    defer { try? FileManager.default.removeItem(at: own) }
    let folder = store ?? own.path
    var shape = BenchShape()
    (shape.queryHeads, shape.layers, shape.kvHeads, shape.headDim) = (8, 4, 2, 64)
    try fill(folder, shape)
    var rows = SyntheticRows(seed: 43)
    let query = rows.tensor(.bfloat16, tokens: 1, heads: shape.queryHeads, headDim: shape.headDim)
    let read = Ceiling.MemoryRead(bytes: 512 << 20, threads: 1)
    let bytes = Double(
      shape.bytes(tokens: TokenGeometry(sinks: 16, lag: 128, kept: 32).totalRows(tokens), .bfloat16))
    var (times, limits, seconds) = ([Double](), [Double](), [Double]())
    for round in 0..<rounds {
      let start = ContinuousClock.now
      let daemon = try PrivateDaemon(options(folder))
      defer { daemon.stop() }
      seconds.append((ContinuousClock.now - start) / .seconds(1))
      let connection = try LagoonConnection(socketPath: daemon.socketPath, arenaBytes: 1 << 20)
      let session = try connection.openSession("open-\(round * 7 % sessions)")
      _ = try session.attend(layer: round % shape.layers, queries: query)
      times.append((ContinuousClock.now - start) / .seconds(1))
      limits.append(0.05 + bytes / read.measure())
    }
    try report(
      [
        Figure(
          name: "first answer from \(sessions) sessions of \(tokens) tokens", figure: times.median * 1e3,
          ceiling: limits.median * 1e3, unit: "ms", ceilingIs: "50 ms plus reading",
          target: .atMost(1),
          details: ["until_the_socket_answers_milliseconds_p50": seconds.median * 1e3])
      ], json: output.json)
  }

  private func options(_ folder: String) -> PrivateDaemon.Options {
    var options = PrivateDaemon.Options()
    (options.store, options.durability, options.quota) = (folder, "process", "64GiB")
    return options
  }

  private func fill(_ folder: String, _ shape: BenchShape) throws {
    let daemon = try PrivateDaemon(options(folder))
    defer { daemon.stop() }
    let connection = try LagoonConnection(socketPath: daemon.socketPath, arenaBytes: 4 << 20)
    let progress = ProgressLine(total: sessions, unit: "sessions")
    defer { progress.finish() }
    let there = Set(try connection.listSessions().map(\.name))
    for number in 0..<sessions where !there.contains("open-\(number)") {
      let session = try shape.filled(
        connection, keys: tokens / 256 * 256, .bfloat16, policy: .lagkv, name: "open-\(number)")
      try session.close()
      progress.update(number + 1)
    }
  }
}
