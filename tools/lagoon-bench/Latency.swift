import ArgumentParser
import Foundation
import LagKV
import LagoonClient
import SparseAttention
import ToolSupport

struct Latency: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "The smallest attend through socket and arena, beside a bare ping plus the kernel alone.",
    discussion: """
      One query of 32 heads over 8 KV heads × 128 and 256 kept keys, bf16. The ceiling is the median bare round trip of 64 bytes
      over a Unix socket pair plus the median of the same attention computed in this process; all three interleave.
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

    var (attends, pings, kernels) = ([Double](), [Double](), [Double]())
    for _ in 0..<10 {  // interleaved in ten blocks
      for _ in 0..<rounds / 10 {
        attends.append(try seconds { try session.attend(layer: 0, queries: query) })
      }
      pings += try SocketPing.measure(rounds: rounds / 10, bytes: 64)
      for _ in 0..<rounds / 10 { kernels.append(try seconds { try kernel.attend() }) }
    }
    try report(
      [
        Figure(
          name: "latency of attend over \(keys) keys", figure: attends.median * 1e6,
          ceiling: (pings.median + kernels.median) * 1e6, unit: "µs", ceilingIs: "ping plus kernel",
          details: [
            "attend_microseconds_p99": attends.percentile(0.99) * 1e6,
            "kernel_microseconds_p50": kernels.median * 1e6, "ping_microseconds_p50": pings.median * 1e6,
            "overhead_microseconds_p50": (attends.median - pings.median - kernels.median) * 1e6,
          ])
      ], json: output.json)
  }
}

/// The same attention over rows in this process's memory, with no socket and no store.
private final class KernelAlone {
  private let shape: AttentionShape
  private let type: ElementType
  private let keys: Int
  private let query: [UInt8]
  private let block: KeyValueBlock
  private let rows: UnsafeMutableRawBufferPointer
  private var out: [Float]
  private var sums: [Float]

  init(shape: BenchShape, keys: Int, _ type: ElementType) throws {
    self.shape = try AttentionShape(
      queryHeads: shape.queryHeads, kvHeads: shape.kvHeads, headDim: shape.headDim)
    self.type = type
    self.keys = keys
    var synthetic = SyntheticRows(seed: 17)
    let source = synthetic.tensor(type, tokens: 2 * keys, heads: shape.kvHeads, headDim: shape.headDim)
    query = synthetic.tensor(type, tokens: 1, heads: shape.queryHeads, headDim: shape.headDim)
      .withBytes { Array($0) }
    let rows = UnsafeMutableRawBufferPointer.allocate(byteCount: source.byteCount, alignment: 64)
    source.withBytes { rows.copyMemory(from: $0) }
    self.rows = rows
    let keyBytes = source.byteCount / 2
    guard let base = rows.baseAddress else { throw ToolError("no memory") }
    block = KeyValueBlock(
      keys: UnsafeRawPointer(base), values: UnsafeRawPointer(base + keyBytes), heads: 0..<shape.kvHeads,
      headStrideBytes: keys * shape.headDim * type.byteCount, rows: keys, elementType: type,
      firstPosition: nil)
    out = [Float](repeating: 0, count: shape.queryHeads * shape.headDim)
    sums = [Float](repeating: 0, count: shape.queryHeads)
  }

  deinit { rows.deallocate() }

  func attend() throws {
    query.withUnsafeBytes { query in
      guard let base = query.baseAddress else { return }
      let view = TensorView.tokenMajor(
        base, elementType: type, tokens: 1, heads: shape.queryHeads, headDim: shape.headDim)
      var accumulator = AttentionAccumulator(shape: shape, queries: view, firstQueryPosition: keys)
      accumulator.add([block], pool: nil)
      out.withUnsafeMutableBufferPointer { out in
        sums.withUnsafeMutableBufferPointer { sums in
          guard let outBase = out.baseAddress, let sumBase = sums.baseAddress else { return }
          accumulator.finish(
            out: .tokenMajor(outBase, tokens: 1, heads: shape.queryHeads, headDim: shape.headDim),
            logSumExp: .tokenMajor(sumBase, tokens: 1, heads: shape.queryHeads))
        }
      }
    }
  }
}
