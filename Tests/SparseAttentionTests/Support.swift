import Glibc
import Kernels
import LagKV
import SparseAttention

/// Elements `[heads, tokens, headDim]` in memory, and what they are as f32.
final class Tensor {
  let heads, tokens, headDim: Int
  let type: ElementType
  let bytes: UnsafeMutableRawPointer
  let floats: [Float]

  init(_ values: [Float], heads: Int, tokens: Int, headDim: Int, type: ElementType) {
    precondition(values.count == heads * tokens * headDim)
    (self.heads, self.tokens, self.headDim, self.type) = (heads, tokens, headDim, type)
    bytes = .allocate(byteCount: max(1, values.count * type.byteCount), alignment: 64)
    lagoon_convert(values, UInt8(LAGOON_F32), bytes, type.rawValue, values.count)
    var back = [Float](repeating: 0, count: values.count)
    lagoon_convert(bytes, type.rawValue, &back, UInt8(LAGOON_F32), values.count)
    floats = back
  }

  convenience init(
    random seed: UInt64, heads: Int, tokens: Int, headDim: Int, type: ElementType, scale: Float = 1
  ) {
    var state = seed
    let values = (0..<heads * tokens * headDim).map { _ -> Float in
      var sum: Float = 0
      for _ in 0..<4 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        sum += Float(Int64(bitPattern: state) >> 40) / 8_388_608
      }
      return sum * scale
    }
    self.init(values, heads: heads, tokens: tokens, headDim: headDim, type: type)
  }

  deinit { bytes.deallocate() }

  var view: TensorView {
    .headMajor(bytes, elementType: type, tokens: tokens, heads: heads, headDim: headDim)
  }

  func row(_ head: Int, _ token: Int) -> ArraySlice<Float> {
    let start = (head * tokens + token) * headDim
    return floats[start..<start + headDim]
  }
}

/// `out [tokens, heads, headDim]` and log-sum-exp `[tokens, heads]`.
struct Attended: Equatable {
  var out: [Float]
  var lse: [Float]

  /// Same bits, which `==` on floats is not.
  func isIdentical(to other: Attended) -> Bool {
    out.map(\.bitPattern) == other.out.map(\.bitPattern)
      && lse.map(\.bitPattern) == other.lse.map(\.bitPattern)
  }

  /// The largest difference of any value; infinite if one is NaN or only one is infinite.
  func difference(from other: Attended) -> Double {
    zip(out + lse, other.out + other.lse).reduce(0) {
      if $1.0 == $1.1 { return $0 }
      let difference = abs(Double($1.0) - Double($1.1))
      return difference.isFinite ? max($0, difference) : .infinity
    }
  }
}

/// Rows `range` of all heads of keys and values `[heads, tokens, headDim]`.
func block(_ keys: Tensor, _ values: Tensor, rows range: Range<Int>, firstPosition: Int? = nil)
  -> KeyValueBlock
{
  let rowBytes = keys.headDim * keys.type.byteCount
  return KeyValueBlock(
    keys: keys.bytes + range.lowerBound * rowBytes, values: values.bytes + range.lowerBound * rowBytes,
    heads: 0..<keys.heads, headStrideBytes: keys.tokens * rowBytes, rows: range.count, elementType: keys.type,
    firstPosition: firstPosition)
}

/// Runs an accumulator over groups of blocks.
func attend(
  _ shape: AttentionShape, _ queries: TensorView, firstQueryPosition: Int = 0, _ groups: [[KeyValueBlock]],
  pool: WorkerPool? = nil
) -> Attended {
  var accumulator = AttentionAccumulator(
    shape: shape, queries: queries, firstQueryPosition: firstQueryPosition, pool: pool)
  for blocks in groups { accumulator.add(blocks, pool: pool) }
  var result = Attended(
    out: [Float](repeating: .nan, count: queries.tokens * shape.queryHeads * shape.headDim),
    lse: [Float](repeating: .nan, count: queries.tokens * shape.queryHeads))
  result.out.withUnsafeMutableBytes { out in
    result.lse.withUnsafeMutableBytes { lse in
      guard let out = out.baseAddress, let lse = lse.baseAddress else { return }
      accumulator.finish(
        out: .tokenMajor(out, tokens: queries.tokens, heads: shape.queryHeads, headDim: shape.headDim),
        logSumExp: .tokenMajor(lse, tokens: queries.tokens, heads: shape.queryHeads), pool: pool)
    }
  }
  return result
}

/// The definition in double precision: query (head, token) sees the key rows for which `sees` is true.
func reference(
  _ shape: AttentionShape, queries: Tensor, keys: Tensor, values: Tensor,
  sees: (_ token: Int, _ row: Int) -> Bool = { _, _ in true }
) -> Attended {
  var result = Attended(out: [], lse: [])
  for token in 0..<queries.tokens {
    for head in 0..<shape.queryHeads {
      let kvHead = head / shape.group
      let rows = (0..<keys.tokens).filter { sees(token, $0) }
      let logits = rows.map { row in
        Double(shape.scale)
          * zip(queries.row(head, token), keys.row(kvHead, row)).reduce(0.0) {
            $0 + Double($1.0) * Double($1.1)
          }
      }
      let largest = logits.max() ?? 0
      let weights = logits.map { exp($0 - largest) }
      let sum = weights.reduce(0, +)
      var out = [Double](repeating: 0, count: shape.headDim)
      for (row, weight) in zip(rows, weights) {
        for (c, value) in values.row(kvHead, row).enumerated() { out[c] += weight / sum * Double(value) }
      }
      result.out += out.map { Float($0) }
      result.lse.append(rows.isEmpty ? -.infinity : Float(largest + log(sum)))
    }
  }
  return result
}
