import ArgumentParser
import Foundation
import LagoonClient
import ToolSupport

struct Ageing: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "How long clients wait while a session that nobody uses is compressed, and stored raw again.",
    discussion: """
      One session of 8 layers × 8 KV heads × 128 bf16 is left alone until the daemon compresses it, then read until it is stored raw \
      again. Meanwhile a client commits 16 tokens to another session and attends to a third, over and over. Its times while the \
      daemon recodes stand beside those while it does not, from the same run.

      EXAMPLES
        lagoon-bench ageing
        lagoon-bench ageing --tokens 65536 --json
      """)

  @Option(help: "Tokens of the session that ages.")
  var tokens = 16_384

  @OptionGroup var output: JSONOption

  func validate() throws {
    guard tokens >= 1024, tokens % 256 == 0 else {
      throw ValidationError("--tokens must be a multiple of 256 and at least 1024")
    }
  }

  func run() throws {
    var options = PrivateDaemon.Options()
    options.durability = "process"
    options.coldAfter = "2s"
    let daemon = try PrivateDaemon(options)
    defer { daemon.stop() }
    let connection = try LagoonConnection(socketPath: daemon.socketPath, arenaBytes: 64 << 20)
    var shape = BenchShape()
    shape.layers = 8
    let old = try shape.filled(connection, keys: tokens, .bfloat16, name: "old")
    let client = try AgeingClient(connection)
    let stored = try connection.describe("old").info.storedBytes

    // Nothing is old enough yet.
    var quiet = try client.run { $0 < 200 }
    _ = try client.run { _ in try Self.copied(connection) == 0 }
    let compressing = try client.run { _ in try connection.stats().demotions == 0 }
    let compressed = try connection.describe("old").info.storedBytes
    var rows = SyntheticRows(seed: 3)
    let query = rows.tensor(.bfloat16, tokens: 1, heads: shape.queryHeads, headDim: shape.headDim)
    for _ in 0..<4 {
      for layer in 0..<shape.layers { _ = try old.attend(layer: layer, queries: query) }
    }
    _ = try client.run { _ in try Self.copied(connection) == 0 }
    let restoring = try client.run { _ in try connection.stats().promotions == 0 }
    quiet = quiet + (try client.run { $0 < 200 })

    var figures: [Figure] = []
    for (what, times) in [("compressing", compressing), ("storing raw again", restoring)] {
      for (call, path) in [("commit of 16 tokens", \ClientTimes.commits), ("attend, 8,192 keys", \.attends)] {
        let (during, beside) = (times[keyPath: path], quiet[keyPath: path])
        figures.append(
          Figure(
            name: "\(what): \(call), p99", figure: during.percentile(0.99) * 1e3,
            ceiling: beside.percentile(0.99) * 1e3, unit: "ms", ceilingIs: "with nothing going on",
            details: [
              "milliseconds_p50": during.median * 1e3, "milliseconds_p50_alone": beside.median * 1e3,
              "milliseconds_most": (during.max() ?? .nan) * 1e3,
              "milliseconds_most_alone": (beside.max() ?? .nan) * 1e3, "calls": Double(during.count),
              "megabytes_raw_per_second": Double(stored) / 1e6 / times.seconds,
              "bytes_before_by_after": Double(stored) / Double(compressed),
            ]))
      }
    }
    try report(figures, json: output.json)
  }

  /// Bytes that have been written anew and are no session's yet.
  private static func copied(_ connection: LagoonConnection) throws -> Int {
    let stored = try connection.listSessions().reduce(0) { $0 + $1.storedBytes }
    return try connection.stats().liveBytes - stored
  }
}

/// Seconds of a client's calls.
private struct ClientTimes {
  var commits: [Double] = []
  var attends: [Double] = []
  /// Of all of it.
  var seconds = 0.0

  static func + (a: ClientTimes, b: ClientTimes) -> ClientTimes {
    ClientTimes(
      commits: a.commits + b.commits, attends: a.attends + b.attends, seconds: a.seconds + b.seconds)
  }
}

/// Commits to one session and attends to another.
private final class AgeingClient {
  private let written: RemoteSession
  private let read: RemoteSession
  private let rows: HostTensor
  private let query: HostTensor
  private var tokens = 0

  init(_ connection: LagoonConnection) throws {
    let shape = BenchShape()
    read = try shape.filled(connection, keys: 8192, .bfloat16, name: "read")
    written = try connection.createSession(shape.session("written", .bfloat16))
    try written.begin(capacity: 16)
    var synthetic = SyntheticRows(seed: 5)
    rows = synthetic.tensor(.bfloat16, tokens: 16, heads: shape.kvHeads, headDim: shape.headDim)
    query = synthetic.tensor(.bfloat16, tokens: 1, heads: shape.queryHeads, headDim: shape.headDim)
  }

  /// Goes on as long as `condition` holds of the rounds so far; gives up after five minutes.
  func run(while condition: (_ rounds: Int) throws -> Bool) throws -> ClientTimes {
    var times = ClientTimes()
    let begin = ContinuousClock.now
    while try condition(times.commits.count) {
      try written.append(layer: 0, keys: rows, values: rows)
      let ids = (tokens..<tokens + 16).map(UInt32.init)
      times.commits.append(try seconds { try written.commit(tokenIDs: ids, keepWriting: true) })
      tokens += 16
      times.attends.append(try seconds { _ = try read.attend(layer: 0, queries: query) })
      guard ContinuousClock.now - begin < .seconds(300) else {
        throw ToolError("the daemon recoded nothing in five minutes")
      }
    }
    times.seconds = (ContinuousClock.now - begin) / .seconds(1)
    return times
  }
}
