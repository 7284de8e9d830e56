import LagKV
import LagoonClient
import SparseAttention
import ToolSupport

/// The same attention over rows in this process's memory, with no socket and no store.
///
/// Sendable by `@unchecked`: one thread uses it at a time.
final class KernelAlone: @unchecked Sendable {
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

  /// - Parameter pool: nil: on this thread.
  func attend(_ pool: WorkerPool? = nil) {
    query.withUnsafeBytes { query in
      guard let base = query.baseAddress else { return }
      let view = TensorView.tokenMajor(
        base, elementType: type, tokens: 1, heads: shape.queryHeads, headDim: shape.headDim)
      var accumulator = AttentionAccumulator(shape: shape, queries: view, firstQueryPosition: keys)
      accumulator.add([block], pool: pool)
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
