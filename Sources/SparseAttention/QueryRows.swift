import Kernels

/// How the rows of some queries are packed for the kernels: `[kvHeads][query][group][padded]` in f32, so that
/// the query heads of one KV head lie together.
struct QueryRows {
  let shape: AttentionShape
  /// Queries per head.
  let tokens: Int
  /// Floats from row to row.
  let padded: Int

  init(shape: AttentionShape, tokens: Int) {
    self.shape = shape
    self.tokens = tokens
    padded = lagoon_padded_dim(shape.headDim)
  }

  var perHead: Int { tokens * shape.group }
  /// Rows of all heads.
  var count: Int { tokens * shape.queryHeads }
  /// Floats of all rows.
  var floats: Int { count * padded }

  /// The row of this query and query head.
  func row(token: Int, head: Int) -> Int {
    let (kvHead, member) = head.quotientAndRemainder(dividingBy: shape.group)
    return kvHead * perHead + token * shape.group + member
  }

  /// 64-byte aligned memory, to be given back with `deallocate()`.
  static func allocate<Element: BitwiseCopyable>(
    _: Element.Type, _ count: Int
  ) -> UnsafeMutablePointer<Element> {
    UnsafeMutableRawPointer.allocate(byteCount: max(1, count) * MemoryLayout<Element>.stride, alignment: 64)
      .bindMemory(to: Element.self, capacity: max(1, count))
  }

  /// Converts a tensor to f32 rows, times `scale`. Padding is left as it is.
  func pack(_ tensor: TensorView, scale: Float, to rows: UnsafeMutablePointer<Float>) {
    for head in 0..<shape.queryHeads {
      for token in 0..<tokens {
        let to = rows + row(token: token, head: head) * padded
        lagoon_convert(
          tensor.row(token: token, head: head), tensor.elementType.rawValue, to, UInt8(LAGOON_F32),
          shape.headDim)
        if scale != 1 { for c in 0..<shape.headDim { to[c] *= scale } }
      }
    }
  }
}
