import ArgumentParser
import Foundation
import LagKV
import LagoonClient
import ToolSupport

struct Append: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Streaming chunks in with a commit each, beside plain LMDB puts of the bytes actually written.",
    discussion: """
      128-token chunks of 8 layers (or --layers) × 8 KV heads × 128, bf16, LagKV with lag 128 and ratio 1/4, through the arena. The ceiling
      puts as many pages into a plain LMDB environment under the same flags, measured between the commits.
      """)

  @Option(help: "Durability: process, ordered or full.")
  var durability = "ordered"

  @Option(help: "Chunks of 128 tokens.")
  var chunks = 64

  @Option(help: "Layers.")
  var layers = 8

  @OptionGroup var output: JSONOption

  func validate() throws {
    guard ["process", "ordered", "full"].contains(durability), chunks > 4, (1...256).contains(layers) else {
      throw ValidationError(
        "--durability is process, ordered or full, --chunks more than 4, --layers in 1...256")
    }
  }

  func run() throws {
    let daemon = try PrivateDaemon(durability: durability)
    defer { daemon.stop() }
    let directory = FileManager.default.temporaryDirectory
      .appendingPathComponent("lagoon-bench-\(ProcessInfo.processInfo.processIdentifier)")
    defer { try? FileManager.default.removeItem(at: directory) }
    let valueBytes = 17 * 4096 - 16  // one slab of the store
    let plain = try Ceiling.PlainPuts(valueBytes: valueBytes, durability: durability, directory: directory)

    let connection = try LagoonConnection(socketPath: daemon.socketPath, arenaBytes: 64 << 20)
    var shape = BenchShape()
    shape.layers = layers
    var parameters = shape.session("bench-append", .bfloat16)
    (parameters.sinks, parameters.lag, parameters.ratio) = (16, 128, 0.25)
    let session = try connection.createSession(parameters)
    try session.begin(capacity: 128)
    var rows = SyntheticRows(seed: 11)
    let k = rows.tensor(.bfloat16, tokens: 128, heads: shape.kvHeads, headDim: shape.headDim)
    let v = rows.tensor(.bfloat16, tokens: 128, heads: shape.kvHeads, headDim: shape.headDim)

    var (appends, commits, puts, pages) = ([Double](), [Double](), [Double](), [Double]())
    for chunk in 0..<chunks {
      let before = try connection.stats().pagesWritten
      appends.append(
        try seconds {
          for layer in 0..<shape.layers { try session.append(layer: layer, keys: k, values: v) }
        })
      let ids = (chunk * 128..<chunk * 128 + 128).map(UInt32.init)
      commits.append(try seconds { try session.commit(tokenIDs: ids, keepWriting: true) })
      let written = try connection.stats().pagesWritten - before
      pages.append(Double(written))
      puts.append(try plain.measure(values: Int(written) / 17))
    }
    try session.abort()
    let bytes = pages.median * 4096
    let given = Double(shape.layers * shape.bytes(tokens: 128, .bfloat16))
    try report(
      [
        Figure(
          name: "append and commit, \(layers) layers, \(durability)",
          figure: bytes / (appends.median + commits.median) / 1e9,
          ceiling: bytes / puts.median / 1e9, unit: "GB/s written", ceilingIs: "plain LMDB puts",
          target: .atLeast(0.6),
          details: [
            "append_milliseconds_p50": appends.median * 1e3, "commit_milliseconds_p50": commits.median * 1e3,
            "plain_puts_milliseconds_p50": puts.median * 1e3, "pages_written_p50": pages.median,
            "write_amplification": bytes / given,
            "tokens_per_second": 128 / (appends.median + commits.median),
          ])
      ], json: output.json)
  }
}
