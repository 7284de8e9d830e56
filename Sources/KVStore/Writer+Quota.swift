/// What counts in the quota beside commits.
extension Writer {
  /// - Throws: `quotaExceeded` where as many slabs more would not fit now.
  func checkRoom(slabs: Int, for session: String) throws(StoreError) {
    let missing = excess(of: WriteCost(slabs: slabs), usingReserve: false)
    guard missing <= 0 || missing <= reclaimablePages else {
      throw StoreError(
        .quotaExceeded,
        "writing the session's rows anew takes \(missing * SlabShape.pageBytes) bytes more than the quota has left",
        session: session)
    }
  }

  /// Counts a part of a scratch file in the quota.
  ///
  /// - Parameter bytes: whole pages.
  /// - Throws: `quotaExceeded`.
  func takeScratch(bytes: Int, for session: String) throws(StoreError) {
    let pages = bytes / SlabShape.pageBytes
    let oldest = environment.readers.oldest
    let last = environment.readers.last
    let reclaimable = reclaimablePages
    let missing = ledger.withLock { ledger in
      let missing = ledger.excess(of: WriteCost(), oldestReader: oldest, last: last) + pages - reclaimable
      if missing <= 0 { ledger.scratchPages += pages }
      return missing
    }
    guard missing <= 0 else {
      throw StoreError(
        .quotaExceeded,
        "the accumulators of a backward pass take \(bytes) bytes more, \(missing * SlabShape.pageBytes) more than the quota has"
          + " left: delete sessions or start with a larger quota", session: session)
    }
  }

  /// Pages of deleted sessions. They are in use until commits need them, and in nobody's way.
  private var reclaimablePages: Int {
    let slabs = try? environment.read { view throws(StoreError) in try Tombstone.slabs(view) }
    return (slabs ?? 0) * SlabShape.pages
  }

  func giveScratch(bytes: Int) {
    ledger.withLock { $0.scratchPages -= bytes / SlabShape.pageBytes }
  }
}
