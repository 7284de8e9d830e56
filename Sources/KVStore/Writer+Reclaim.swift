/// Room for commits: the pages of deleted sessions, and what a quota leaves.
extension Writer {
  /// Slabs of deleted sessions to free in the transaction of these jobs, which should not take noticeably longer for it.
  func reclaimable(beside jobs: [WriteJob]) -> Int {
    guard queue.withLock({ $0.canReclaim }) else { return 0 }
    let pages = environment.filePages
    let missing = ledger.withLock { $0.missingSlabs(filePages: pages) }
    let cost = jobs.reduce(WriteCost()) { $0 + $1.cost }
    let slabs = min(missing, max(64, 2 * cost.slabs))
    let fits =
      excess(of: cost + WriteCost(deletions: slabs), usingReserve: jobs.contains(where: \.usesReserve)) <= 0
    return fits ? slabs : 0
  }

  /// Frees at most `reclaimLimit` slabs of deleted sessions.
  func reclaimStep(_ written: borrowing WrittenBytes) {
    var more = false
    do throws(StoreError) {
      try transact(written) { transaction throws(StoreError) in
        more = try Tombstone.reclaim(transaction, limit: Self.reclaimLimit)
      }
      // A delete may have set another tombstone meanwhile; then the next step finds it.
      if !more { queue.withLock { $0.hasTombstones = false } }
    } catch {
      // Tried again after the next commit or deletion: a full disk may have room by then.
      queue.withLock { $0.reclaimFailed = true }
    }
  }

  /// Reclaims deleted sessions, waits (bounded) for readers, and lets transactions pass, until the job fits.
  ///
  /// - Returns: why it does not; nil: it fits.
  func makeRoom(for job: WriteJob, _ written: borrowing WrittenBytes) -> StoreError? {
    var ticks = 0
    while true {
      let excess = excess(of: job.cost, usingReserve: job.usesReserve)
      if excess <= 0 { return nil }
      if queue.withLock({ $0.hasTombstones && !$0.reclaimFailed }) {
        reclaimStep(written)
      } else if ticks < 3 {
        // Pages that the last transaction freed become usable when another has passed and no reader sees them.
        environment.readers.waitForLaggards(limit: 0, milliseconds: 50)
        _ = try? transact(written) { transaction throws(StoreError) in
          try transaction.put(.meta, Array("tick".utf8), [0])
        }
        ticks += 1
      } else {
        return refusal(job, excess: excess)
      }
    }
  }

  private func refusal(_ job: WriteJob, excess: Int) -> StoreError {
    let oldest = environment.readers.oldest
    let last = environment.readers.last
    return ledger.withLock { ledger in
      let page = SlabShape.pageBytes
      return StoreError(
        .quotaExceeded,
        "the store holds \(ledger.usage.pages * page) of \(ledger.quotaPages * page) bytes of its quota,"
          + " \(ledger.pinned(oldestReader: oldest, last: last) * page) freed bytes are not reusable yet,"
          + " \(ledger.reservePages * page) are kept back for deletes; this commit may need"
          + " \(job.cost.pages(treePages: ledger.usage.treePages) * page) and is \(excess * page) too many:"
          + " delete sessions or start with a larger quota")
    }
  }
}
