import Glibc
import Kernels
import LagKV
import SparseAttention

/// Gradients of queries `[tokens, queryHeads, headDim]`, keys and values `[kvHeads, rows, headDim]`.
struct AttentionGradients: Equatable {
  var dQueries: [Float]
  var dKeys: [Float]
  var dValues: [Float]

  /// Same bits, which `==` on floats is not.
  func isIdentical(to other: AttentionGradients) -> Bool {
    bits == other.bits
  }

  var bits: [[UInt32]] { [dQueries, dKeys, dValues].map { $0.map(\.bitPattern) } }

  /// The largest difference of any value; infinite if one is not a number.
  func difference(from other: AttentionGradients) -> Double {
    zip([dQueries, dKeys, dValues], [other.dQueries, other.dKeys, other.dValues]).reduce(0) {
      max($0, largestDifference($1.0, $1.1))
    }
  }
}

/// The largest difference; infinite if one value is not a number or the counts differ.
func largestDifference(_ a: [Float], _ b: [Float]) -> Double {
  if a.count != b.count { return .infinity }
  return zip(a, b).reduce(0) {
    let difference = abs(Double($1.0) - Double($1.1))
    return difference.isFinite ? max($0, difference) : .infinity
  }
}

/// Gradient rows `[heads, rows, headDim]` of f32 that keep their address.
final class GradientRows {
  let heads, rows, headDim: Int
  let dKeys: UnsafeMutableRawPointer
  let dValues: UnsafeMutableRawPointer

  init(heads: Int, rows: Int, headDim: Int) {
    (self.heads, self.rows, self.headDim) = (heads, rows, headDim)
    let count = heads * rows * headDim
    dKeys = .allocate(byteCount: max(1, 4 * count), alignment: 4)
    dValues = .allocate(byteCount: max(1, 4 * count), alignment: 4)
    dKeys.initializeMemory(as: Float.self, repeating: 0, count: count)
    dValues.initializeMemory(as: Float.self, repeating: 0, count: count)
  }

  deinit {
    dKeys.deallocate()
    dValues.deallocate()
  }

  /// Where rows from `first` on of heads from `head` on accumulate.
  func from(_ first: Int, head: Int = 0) -> KeyValueGradient {
    let offset = 4 * (head * rows + first) * headDim
    return KeyValueGradient(
      dKeys: dKeys + offset, dValues: dValues + offset, headStrideBytes: 4 * rows * headDim)
  }

  func floats(_ base: UnsafeMutableRawPointer) -> [Float] {
    (0..<heads * rows * headDim).map { base.load(fromByteOffset: 4 * $0, as: Float.self) }
  }

  /// Adds a row of another to one of this.
  func add(_ other: GradientRows, row: Int, head: Int, to own: Int) {
    for (from, to) in [(other.dKeys, dKeys), (other.dValues, dValues)] {
      for c in 0..<headDim {
        let source = from.load(
          fromByteOffset: 4 * ((head * other.rows + row) * headDim + c), as: Float.self)
        let offset = 4 * ((head * rows + own) * headDim + c)
        to.storeBytes(
          of: to.load(fromByteOffset: offset, as: Float.self) + source, toByteOffset: offset, as: Float.self)
      }
    }
  }
}

/// Runs a backward pass over groups of blocks; returns dQueries `[tokens, queryHeads, headDim]`.
func backward(
  _ shape: AttentionShape, _ queries: TensorView, forward: Attended, dOut: TensorView,
  dLogSumExp: [Float]? = nil, firstQueryPosition: Int = 0,
  _ groups: [[(KeyValueBlock, KeyValueGradient)]], pool: WorkerPool? = nil
) -> [Float] {
  var forward = forward
  var dLse = dLogSumExp ?? forward.lse.map { _ in 0 }
  var dQueries = forward.out.map { _ in Float.nan }
  forward.out.withUnsafeMutableBytes { out in
    forward.lse.withUnsafeMutableBytes { lse in
      dLse.withUnsafeMutableBytes { dLse in
        dQueries.withUnsafeMutableBytes { dQueries in
          guard let out = out.baseAddress, let lse = lse.baseAddress, let dLse = dLse.baseAddress,
            let dQueries = dQueries.baseAddress
          else { return }
          let (tokens, heads) = (queries.tokens, shape.queryHeads)
          var pass = AttentionBackward(
            shape: shape, queries: queries,
            out: .tokenMajor(
              out, elementType: .float32, tokens: tokens, heads: heads, headDim: shape.headDim),
            logSumExp: .tokenMajor(lse, tokens: tokens, heads: heads), dOut: dOut,
            dLogSumExp: dLogSumExp == nil ? nil : .tokenMajor(dLse, tokens: tokens, heads: heads),
            firstQueryPosition: firstQueryPosition, pool: pool)
          for group in groups { pass.add(group.map(\.0), into: group.map(\.1), pool: pool) }
          pass.finish(
            dQueries: .tokenMajor(dQueries, tokens: tokens, heads: heads, headDim: shape.headDim),
            pool: pool)
        }
      }
    }
  }
  return dQueries
}
