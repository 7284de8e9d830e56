import ArgumentParser
import Foundation
import LagKV
import ModelToolSupport
import SparseAttention
import ToolSupport

struct Backward: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Gradients of attention, beside the attention itself.",
    discussion: """
      128 queries of 32 heads over 8 KV heads × 128 and N keys, in this process, on all cores: dq, dk and dv by recomputation from
      the log-sum-exp. It is five products where the attention is two, so 2.5 × its time is what equal rates would give.
      """)

  @Option(help: "Keys; several may be given.")
  var keys: [Int] = [8192, 32768]

  @Option(help: "Element types: f32, bf16 or f16.")
  var dtype: [ElementType] = [.bfloat16, .float32]

  @Option(help: "Passes of each kind, in turns.")
  var rounds = 9

  @OptionGroup var output: JSONOption

  func validate() throws {
    guard rounds > 0, keys.allSatisfy({ $0 >= 256 && $0 % 256 == 0 }) else {
      throw ValidationError("--rounds must be positive and --keys multiples of 256")
    }
  }

  func run() throws {
    let pool = WorkerPool()
    defer { pool.close() }
    let figures = try dtype.flatMap { type in
      try keys.map { count in
        let both = try BothDirections(BenchShape(), tokens: 128, keys: count, type)
        var (forward, backward) = ([Double](), [Double]())
        for _ in 0..<rounds {
          forward.append(seconds { both.attend(pool) })
          backward.append(seconds { both.differentiate(pool) })
        }
        return Figure(
          name: "backward \(type.name), 128 queries, \(count) keys", figure: backward.median * 1e3,
          ceiling: forward.median * 1e3, unit: "ms", ceilingIs: "the attention", target: .atMost(2.5),
          details: [
            "backward_gigaflops": 2.5 * both.operations / backward.median / 1e9,
            "attention_gigaflops": both.operations / forward.median / 1e9,
          ])
      }
    }
    try report(figures, json: output.json)
  }
}

/// Attention of a chunk and its gradients, over rows in this process's memory in blocks as large as the store's slabs.
private final class BothDirections {
  private let shape: AttentionShape
  private let type: ElementType
  private let tokens: Int
  private let memory: UnsafeMutableRawBufferPointer
  private let blocks: [KeyValueBlock]
  private let gradients: [KeyValueGradient?]
  private let queries: TensorView
  private let dOut: TensorView
  private let out: MutableTensorView
  private let dQueries: MutableTensorView
  private let logSumExp: LogSumExpView
  /// Floating-point operations of the attention.
  let operations: Double

  init(_ bench: BenchShape, tokens: Int, keys: Int, _ type: ElementType) throws {
    shape = try AttentionShape(queryHeads: bench.queryHeads, kvHeads: bench.kvHeads, headDim: bench.headDim)
    self.type = type
    self.tokens = tokens
    operations = 4 * Double(tokens * bench.queryHeads * bench.headDim) * Double(keys)
    let rowBytes = bench.kvHeads * bench.headDim * type.byteCount
    let slots = 32_768 / rowBytes
    let (queryFloats, keyFloats) = (
      tokens * bench.queryHeads * bench.headDim, keys * bench.kvHeads * bench.headDim
    )
    let sizes = [
      2 * keys * rowBytes, 8 * keyFloats, queryFloats * type.byteCount, 4 * queryFloats, 4 * queryFloats,
      4 * queryFloats, 4 * tokens * bench.queryHeads,
    ]
    memory = .allocate(byteCount: sizes.reduce(0, +), alignment: 64)
    guard let base = memory.baseAddress else { throw ToolError("no memory") }
    memory.initializeMemory(as: UInt8.self, repeating: 0)
    let parts = sizes.indices.map { base + sizes[..<$0].reduce(0, +) }
    var synthetic = SyntheticRows(seed: 31)
    let some = synthetic.tensor(type, tokens: 2 * slots, heads: bench.kvHeads, headDim: bench.headDim)
    let headStride = slots * bench.headDim * type.byteCount
    let gradientStride = slots * bench.headDim * 4
    (blocks, gradients) = some.withBytes { bytes in
      var (blocks, gradients) = ([KeyValueBlock](), [KeyValueGradient?]())
      for block in 0..<keys / slots {
        let at = parts[0] + block * bytes.count
        at.copyMemory(from: bytes.baseAddress ?? UnsafeRawPointer(at), byteCount: bytes.count)
        blocks.append(
          KeyValueBlock(
            keys: at, values: at + bytes.count / 2, heads: 0..<bench.kvHeads, headStrideBytes: headStride,
            rows: slots, elementType: type))
        let gradient = parts[1] + block * 2 * bench.kvHeads * gradientStride
        gradients.append(
          KeyValueGradient(
            dKeys: gradient, dValues: gradient + bench.kvHeads * gradientStride,
            headStrideBytes: gradientStride))
      }
      return (blocks, gradients)
    }
    let (heads, dim) = (bench.queryHeads, bench.headDim)
    let query = synthetic.tensor(type, tokens: tokens, heads: heads, headDim: dim)
    query.withBytes {
      parts[2].copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(base), byteCount: $0.count)
    }
    let floats = parts[3...].map { $0.bindMemory(to: Float.self, capacity: queryFloats) }
    for i in 0..<queryFloats { floats[0][i] = synthetic.next() }
    queries = .tokenMajor(parts[2], elementType: type, tokens: tokens, heads: heads, headDim: dim)
    dOut = .tokenMajor(parts[3], elementType: .float32, tokens: tokens, heads: heads, headDim: dim)
    out = .tokenMajor(floats[1], tokens: tokens, heads: heads, headDim: dim)
    dQueries = .tokenMajor(floats[2], tokens: tokens, heads: heads, headDim: dim)
    logSumExp = .tokenMajor(floats[3], tokens: tokens, heads: heads)
  }

  deinit { memory.deallocate() }

  func attend(_ pool: WorkerPool) {
    var accumulator = AttentionAccumulator(shape: shape, queries: queries, firstQueryPosition: 0, pool: pool)
    accumulator.add(blocks, pool: pool)
    accumulator.finish(out: out, logSumExp: logSumExp, pool: pool)
  }

  /// Needs ``attend(_:)`` first.
  func differentiate(_ pool: WorkerPool) {
    var backward = AttentionBackward(
      shape: shape, queries: queries, out: out.readOnly, logSumExp: logSumExp, dOut: dOut,
      firstQueryPosition: 0, pool: pool)
    backward.add(blocks, into: gradients, pool: pool)
    backward.finish(dQueries: dQueries, pool: pool)
  }
}
