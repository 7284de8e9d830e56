import LagKV

/// The queries of a call in rows, as ``QueryRows`` says. Whoever has made it gives its memory back.
struct PackedQueries {
  /// `[rows, padded]`, 64-byte aligned.
  let floats: UnsafeMutablePointer<Float>
  /// The same in bf16, 64-byte aligned; nil where they came in another type, or in rows that no kernel takes so.
  let narrow: UnsafeMutablePointer<UInt16>?

  init(_ queries: TensorView, _ layout: QueryRows, _ pool: WorkerPool?) {
    floats = QueryRows.allocate(Float.self, layout.floats)
    layout.pack(queries, scale: 1, to: floats, pool)
    narrow = Self.narrow(queries, layout, pool)
  }

  func deallocate() {
    floats.deallocate()
    narrow?.deallocate()
  }

  /// bf16 rows as they are, without padding; nil: see ``narrow``.
  static func narrow(
    _ queries: TensorView, _ layout: QueryRows, _ pool: WorkerPool?
  ) -> UnsafeMutablePointer<UInt16>? {
    guard queries.elementType == .bfloat16, queries.headDim % 32 == 0 else { return nil }
    let rows = QueryRows.allocate(UInt16.self, layout.floats)
    layout.forEachRow(pool) { row, token, head in
      UnsafeMutableRawPointer(rows + row * layout.padded)
        .copyMemory(from: queries.row(token: token, head: head), byteCount: 2 * queries.headDim)
    }
    return rows
  }
}
