import ArgumentParser
import Foundation
import LagKV
import LagoonClient
import ToolSupport

struct Growth: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "How cost grows with kept keys, layers and sessions.",
    discussion: """
      Each cost at some sizes, four times apart. The ceiling is the largest size's cost had it grown as its work did: in step with
      keys and layers, not at all with sessions. What it would be at ten times the largest goes on as between the last two.
      Clients have a benchmark of their own.

      EXAMPLES
        lagoon-bench growth
        lagoon-bench growth --json
      """)

  @Option(help: "Times that each cost is measured.")
  var rounds = 31

  @OptionGroup var output: JSONOption

  func validate() throws {
    guard rounds > 0 else { throw ValidationError("--rounds must be positive") }
  }

  func run() throws {
    try report([keys(), layers(), sessions()], json: output.json)
  }

  /// A query over more and more keys.
  private func keys() throws -> Figure {
    let costs = try [4096, 16_384, 65_536].map { count in
      try withDaemon { connection in
        let shape = BenchShape()
        let session = try shape.filled(connection, keys: count, .bfloat16)
        return Cost(size: count, seconds: try attend(session, shape))
      }
    }
    return figure("attend, by kept keys", costs, growsWithSize: true)
  }

  /// 128 tokens appended and committed in more and more layers.
  private func layers() throws -> Figure {
    let costs = try [2, 8, 32].map { count in
      try withDaemon { connection in
        var shape = BenchShape()
        shape.layers = count
        let session = try connection.createSession(shape.session("growth", .bfloat16))
        var rows = SyntheticRows(seed: 3)
        let k = rows.tensor(.bfloat16, tokens: 128, heads: shape.kvHeads, headDim: shape.headDim)
        let v = rows.tensor(.bfloat16, tokens: 128, heads: shape.kvHeads, headDim: shape.headDim)
        try session.begin(capacity: 128)
        let times = try (0..<rounds).map { round in
          try seconds {
            for layer in 0..<count { try session.append(layer: layer, keys: k, values: v) }
            try session.commit(tokenIDs: [UInt32](repeating: UInt32(round), count: 128), keepWriting: true)
          }
        }
        return Cost(size: count, seconds: times.median)
      }
    }
    return figure("append and commit of 128 tokens, by layers", costs, growsWithSize: true)
  }

  /// A query over 256 keys of one among more and more sessions.
  private func sessions() throws -> Figure {
    let costs = try [16, 64, 256].map { count in
      try withDaemon { connection in
        let shape = BenchShape()
        let all = try (0..<count).map {
          try shape.filled(connection, keys: 256, .bfloat16, name: "growth-\($0)")
        }
        return Cost(size: count, seconds: try attend(all[count / 2], shape))
      }
    }
    return figure("attend over 256 keys, by sessions", costs, growsWithSize: false)
  }

  private struct Cost {
    var size: Int
    var seconds: Double
  }

  private func figure(_ name: String, _ costs: [Cost], growsWithSize: Bool) -> Figure {
    let (first, last) = (costs[0], costs[costs.count - 1])
    let before = costs[costs.count - 2]
    let work = growsWithSize ? Double(last.size) / Double(first.size) : 1
    let exponent = log(last.seconds / before.seconds) / log(Double(last.size) / Double(before.size))
    var details = ["exponent": exponent, "milliseconds_at_ten_times": last.seconds * pow(10, exponent) * 1e3]
    for cost in costs { details["milliseconds_at_\(cost.size)"] = cost.seconds * 1e3 }
    return Figure(
      name: name, figure: last.seconds * 1e3, ceiling: first.seconds * work * 1e3, unit: "ms p50",
      ceilingIs: growsWithSize ? "growth in step" : "no growth", details: details)
  }

  private func attend(_ session: RemoteSession, _ shape: BenchShape) throws -> Double {
    var rows = SyntheticRows(seed: 7)
    let query = rows.tensor(.bfloat16, tokens: 1, heads: shape.queryHeads, headDim: shape.headDim)
    _ = try session.attend(layer: 0, queries: query)  // first read: checksums
    return try (0..<rounds).map { _ in try seconds { try session.attend(layer: 0, queries: query) } }.median
  }

  private func withDaemon<R>(_ body: (LagoonConnection) throws -> R) throws -> R {
    let daemon = try PrivateDaemon()
    defer { daemon.stop() }
    return try body(try LagoonConnection(socketPath: daemon.socketPath, arenaBytes: 64 << 20))
  }
}
