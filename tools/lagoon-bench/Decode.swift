import ArgumentParser
import Foundation
import LagKV
import LagoonClient
import SparseAttention
import ToolSupport

struct Decode: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Token after token through all layers, with commits, beside the attention alone.",
    discussion: """
      A model's writing, without the model: each token's keys, values and queries go through `step` in every layer, and every 16
      tokens there is a commit. 32 heads over 8 KV heads × 128, bf16, LagKV with lag 128 and ratio 1/4. The ceilings are
      attention over as many rows, in this process, with as many threads, without socket, store or scoring, in one piece and cut as the
      store's slabs are; all take turns.
      """)

  @Option(help: "Layers.")
  var layers = 32

  @Option(help: "Tokens that the session has beforehand; several may be given. Default: 8192 and 32768.")
  var tokens: [Int] = []

  @Option(help: "Tokens that are written.")
  var writing = 128

  @Option(help: "Tokens between commits.")
  var commitEvery = 16

  @OptionGroup var output: JSONOption

  func validate() throws {
    guard layers > 0, tokens.allSatisfy({ $0 >= 256 && $0 % 256 == 0 }), writing > 0, commitEvery > 0,
      writing % commitEvery == 0
    else {
      throw ValidationError(
        "--tokens must be a multiple of 256, --writing one of --commit-every, and all above 0")
    }
  }

  func run() throws {
    try report(try (tokens.isEmpty ? [8192, 32_768] : tokens).flatMap(measured), json: output.json)
  }

  private func measured(_ tokens: Int) throws -> [Figure] {
    let daemon = try PrivateDaemon(durability: "ordered")
    defer { daemon.stop() }
    let type = ElementType.bfloat16
    var shape = BenchShape()
    shape.layers = layers
    let connection = try LagoonConnection(socketPath: daemon.socketPath, arenaBytes: 16 << 20)
    let session = try shape.filled(connection, keys: tokens, type, policy: .lagkv)
    let pool = WorkerPool()
    defer { pool.close() }
    let geometry = TokenGeometry(sinks: 16, lag: 128, kept: 32)
    let kernels = try (0..<layers).map { _ in
      try KernelAlone(shape: shape, keys: geometry.totalRows(tokens), type)
    }
    var rows = SyntheticRows(seed: 37)
    let query = rows.tensor(type, tokens: 1, heads: shape.queryHeads, headDim: shape.headDim)
    let key = rows.tensor(type, tokens: 1, heads: shape.kvHeads, headDim: shape.headDim)
    let value = rows.tensor(type, tokens: 1, heads: shape.kvHeads, headDim: shape.headDim)
    var (steps, commits, attentions, inSlabs) = ([Double](), [Double](), [Double](), [Double]())
    try session.begin(capacity: commitEvery)
    for token in tokens..<tokens + writing {
      steps.append(
        try seconds {
          for layer in 0..<layers {
            _ = try session.step(layer: layer, queries: query, keys: key, values: value)
          }
        })
      if (token + 1) % commitEvery == 0 {
        let ids = (token + 1 - commitEvery...token).map(UInt32.init)
        commits.append(try seconds { try session.commit(tokenIDs: ids, keepWriting: true) })
      }
      attentions.append(seconds { for kernel in kernels { kernel.attend(pool) } })
      inSlabs.append(seconds { for kernel in kernels { kernel.attend(inSlabs: true, pool) } })
    }
    try session.abort()
    let commit = commits.median / Double(commitEvery)
    let name = "decode, \(layers) layers, \(geometry.totalRows(tokens)) rows"
    let milliseconds = (steps.median + commit) * 1e3
    return [
      Figure(
        name: name, figure: milliseconds, ceiling: attentions.median * 1e3, unit: "ms a token",
        ceilingIs: "the attention alone", target: .atMost(1.15),
        details: [
          "steps_milliseconds_p50": steps.median * 1e3, "commit_milliseconds_p50": commits.median * 1e3,
          "overhead_microseconds_a_step": (steps.median - attentions.median) / Double(layers) * 1e6,
        ]),
      Figure(
        name: "\(name), beside slabs", figure: milliseconds, ceiling: inSlabs.median * 1e3,
        unit: "ms a token",
        ceilingIs: "the attention alone, over slabs in this process"),
    ]
  }
}
