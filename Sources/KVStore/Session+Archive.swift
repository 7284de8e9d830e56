/// A partition as it was appended.
package struct ArchivedPartition: Sendable, Hashable {
  /// Absolute position of its first token.
  package var firstPosition: Int
  package var rows: Int
  /// `[kvHeads, rows, headDim]` in the session's element type.
  package var keys: [UInt8]
  package var values: [UInt8]
}

extension Session {
  /// A whole partition of an archive session that has left the window. (Sinks are among the kept rows, the last partitions
  /// in the window.)
  ///
  /// - Throws: `invalidArgument` without archive or for a partition that is not archived, `corrupt`, `notFound`.
  package func archived(layer: Int, partition: Int) throws(StoreError) -> ArchivedPartition {
    try checkLayer(layer)
    let plan = plan.layers[layer]
    guard plan.archive else {
      throw StoreError(.invalidArgument, "the session has no archive", session: configuration.name)
    }
    return try store.environment.read { view throws(StoreError) in
      let record = try self.record(view)
      guard (0..<plan.scored(record.tokens)).contains(partition) else {
        throw StoreError(
          .invalidArgument,
          "partition \(partition) is not archived: partitions 0..<\(plan.scored(record.tokens)) are",
          session: configuration.name, layer: layer, partition: partition)
      }
      let source = LayerRows(
        stored: StoredLayer(record: record, plan: plan, layer: layer), staged: nil,
        validated: store.validated, decoder: FrameDecoder())
      let frame = try source.decoder.frame(.archive, partition, rows: plan.lag, source, view)
      let bytes = plan.shape.kvHeads * plan.lag * plan.shape.rowBytes
      // The decoder owns the frame's memory.
      return withExtendedLifetime(source.decoder) {
        ArchivedPartition(
          firstPosition: plan.partitionStart(partition), rows: plan.lag,
          keys: Array(UnsafeRawBufferPointer(start: frame.elements, count: bytes)),
          values: Array(UnsafeRawBufferPointer(start: frame.elements + bytes, count: bytes)))
      }
    }
  }
}
