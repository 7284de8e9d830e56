import ArgumentParser
import Foundation
import LagKV
import LagoonClient
import ToolSupport

struct Latency: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "The smallest attend through socket and arena, beside a bare ping plus the kernel alone.",
    discussion: """
      One query of 32 heads over 8 KV heads × 128 and 256 kept keys, bf16. The ceiling is the median bare round trip of 64 bytes
      over a Unix socket pair plus the median of the same attention computed in this process; all three interleave. So does a ping \
      whose other end computes that attention before it answers: by then the asking core has gone to sleep and has to be woken, \
      which the bare ping does not show.
      """)

  @Option(help: "Round trips of each kind.")
  var rounds = 2000

  @OptionGroup var output: JSONOption

  func validate() throws {
    guard rounds >= 100 else { throw ValidationError("--rounds must be at least 100") }
  }

  func run() throws {
    let daemon = try PrivateDaemon()
    defer { daemon.stop() }
    let keys = 256
    let type = ElementType.bfloat16
    let shape = BenchShape()
    let connection = try LagoonConnection(socketPath: daemon.socketPath, arenaBytes: 8 << 20)
    let session = try shape.filled(connection, keys: keys, type)
    var rows = SyntheticRows(seed: 13)
    let query = rows.tensor(type, tokens: 1, heads: shape.queryHeads, headDim: shape.headDim)
    let kernel = try KernelAlone(shape: shape, keys: keys, type)

    var (attends, pings, kernels, both) = ([Double](), [Double](), [Double](), [Double]())
    for _ in 0..<10 {  // interleaved in ten blocks
      for _ in 0..<rounds / 10 {
        attends.append(try seconds { try session.attend(layer: 0, queries: query) })
      }
      pings += try SocketPing.measure(rounds: rounds / 10, bytes: 64)
      for _ in 0..<rounds / 10 { kernels.append(seconds { kernel.attend() }) }
      both += try SocketPing.measure(rounds: rounds / 10, bytes: 64) { kernel.attend() }
    }
    try report(
      [
        Figure(
          name: "latency of attend over \(keys) keys", figure: attends.median * 1e6,
          ceiling: (pings.median + kernels.median) * 1e6, unit: "µs", ceilingIs: "ping plus kernel",
          target: .excess(10),
          details: [
            "attend_microseconds_p99": attends.percentile(0.99) * 1e6,
            "kernel_microseconds_p50": kernels.median * 1e6, "ping_microseconds_p50": pings.median * 1e6,
            "overhead_microseconds_p50": (attends.median - pings.median - kernels.median) * 1e6,
            "ping_that_computes_microseconds_p50": both.median * 1e6,
            "overhead_above_it_microseconds_p50": (attends.median - both.median) * 1e6,
          ])
      ], json: output.json)
  }
}
