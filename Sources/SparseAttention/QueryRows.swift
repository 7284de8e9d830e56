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

  /// Below this many floats, 256 KiB of them, going through the rows takes no longer than waking another thread.
  private static let inlineFloats = 1 << 16

  /// Calls `body` with each KV head, by all threads of `pool` if that is worth it. `body` writes to rows of its head only, so it is shared
  /// with other threads without being Sendable; all of them are done when this returns.
  func forEachHead(_ pool: WorkerPool?, _ body: (_ kvHead: Int) -> Void) {
    guard let pool, pool.threads > 1, floats >= Self.inlineFloats else {
      for kvHead in 0..<shape.kvHeads { body(kvHead) }
      return
    }
    withoutActuallyEscaping(body) { body in
      nonisolated(unsafe) let body = body
      pool.run(shape.kvHeads) { kvHead, _ in body(kvHead) }
    }
  }

  /// The same with each row, its query and its query head. `body` writes to its row only.
  func forEachRow(_ pool: WorkerPool?, _ body: (_ row: Int, _ token: Int, _ head: Int) -> Void) {
    forEachHead(pool) { kvHead in
      var row = kvHead * perHead
      for token in 0..<tokens {
        for member in 0..<shape.group {
          body(row, token, kvHead * shape.group + member)
          row += 1
        }
      }
    }
  }

  /// Converts a tensor to f32 rows, times `scale`. Padding becomes 0.
  func pack(_ tensor: TensorView, scale: Float, to rows: UnsafeMutablePointer<Float>, _ pool: WorkerPool?) {
    forEachRow(pool) { row, token, head in
      let to = rows + row * padded
      lagoon_convert(
        tensor.row(token: token, head: head), tensor.elementType.rawValue, to, UInt8(LAGOON_F32),
        shape.headDim)
      if scale != 1 { lagoon_scale(to, scale, to, shape.headDim) }
      (to + shape.headDim).initialize(repeating: 0, count: padded - shape.headDim)
    }
  }
}
