import LagKV
import LagoonClient
import SparseAttention
import ToolSupport

/// The same attention over rows in this process's memory, with no socket and no store: in one piece, or as slabs have them.
///
/// Sendable by `@unchecked`: one thread uses it at a time.
final class KernelAlone: @unchecked Sendable {
  private let shape: AttentionShape
  private let type: ElementType
  private let keys: Int
  private let query: [UInt8]
  private let piece: KeyValueBlock
  /// The same memory cut into slabs of 64 KiB: some rows of each head, first all keys, then all values.
  private let slabs: [KeyValueBlock]
  /// Of rows in a slab of the store.
  private static let slabBytes = 65_536
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
    // A last slab may be longer than its rows.
    let rows = UnsafeMutableRawBufferPointer.allocate(
      byteCount: source.byteCount + Self.slabBytes, alignment: 4096)
    rows.initializeMemory(as: UInt8.self, repeating: 0)
    source.withBytes { rows.copyMemory(from: $0) }
    self.rows = rows
    let keyBytes = source.byteCount / 2
    guard let base = rows.baseAddress else { throw ToolError("no memory") }
    piece = KeyValueBlock(
      keys: UnsafeRawPointer(base), values: UnsafeRawPointer(base + keyBytes), heads: 0..<shape.kvHeads,
      headStrideBytes: keys * shape.headDim * type.byteCount, rows: keys, elementType: type,
      firstPosition: nil)
    let slabBytes = Self.slabBytes
    let headBytes = slabBytes / (2 * shape.kvHeads)
    let slots = headBytes / (shape.headDim * type.byteCount)
    slabs = stride(from: 0, to: keys, by: slots).map { first in
      let slab = UnsafeRawPointer(base) + first / slots * slabBytes
      return KeyValueBlock(
        keys: slab, values: slab + slabBytes / 2, heads: 0..<shape.kvHeads, headStrideBytes: headBytes,
        rows: min(slots, keys - first), elementType: type, firstPosition: nil)
    }
    out = [Float](repeating: 0, count: shape.queryHeads * shape.headDim)
    sums = [Float](repeating: 0, count: shape.queryHeads)
  }

  deinit { rows.deallocate() }

  /// - Parameters:
  ///   - inSlabs: the rows are those of slabs, other numbers than in one piece.
  ///   - pool: nil: on this thread.
  func attend(inSlabs: Bool = false, _ pool: WorkerPool? = nil) {
    query.withUnsafeBytes { query in
      guard let base = query.baseAddress else { return }
      let view = TensorView.tokenMajor(
        base, elementType: type, tokens: 1, heads: shape.queryHeads, headDim: shape.headDim)
      var accumulator = AttentionAccumulator(shape: shape, queries: view, firstQueryPosition: keys)
      accumulator.add(inSlabs ? slabs : [piece], pool: pool)
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
