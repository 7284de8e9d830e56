/// Groups of jobs, each in one transaction.
extension Writer {
  func commit(_ jobs: [WriteJob], _ written: borrowing WrittenBytes) {
    environment.readers.waitForLaggards(limit: readerLagLimit, milliseconds: 100)
    // Those who fit the quota together go together; the rest wait for the pages that this commit frees.
    var group: [WriteJob] = []
    var total = WriteCost()
    var rest: [WriteJob] = []
    for job in jobs {
      if excess(of: total + job.cost, usingReserve: job.usesReserve) <= 0 {
        group.append(job)
        total = total + job.cost
      } else {
        rest.append(job)
      }
    }
    if group.isEmpty, let job = rest.first {
      rest.removeFirst()
      if let refusal = makeRoom(for: job, written) {
        job.finish(.failed(refusal))
      } else {
        group = [job]
      }
    }
    if !group.isEmpty { apply(group, written) }
    if !rest.isEmpty { commit(rest, written) }
  }

  /// Applies the jobs in one transaction, which also reclaims what the next ones need. If one fails, none is kept and each runs again alone.
  private func apply(_ jobs: [WriteJob], _ written: borrowing WrittenBytes, reclaiming: Bool = true) {
    let hasTombstones = queue.withLock { $0.hasTombstones }
    let reclaimed = reclaiming ? reclaimable(beside: jobs) : 0
    let filePages = environment.filePages
    var more = true
    do throws(StoreError) {
      let pages = try transact(written) { transaction throws(StoreError) in
        for job in jobs { try job.body?(transaction) }
        if reclaimed > 0 { more = try Tombstone.reclaim(transaction, limit: reclaimed) }
      }
      let growth = environment.filePages - filePages
      ledger.withLock { $0.noteDemand(pages, growth: hasTombstones ? growth : nil) }
      counters.withLock { $0.groups += 1 }
      queue.withLock {
        if reclaiming { $0.reclaimFailed = false }
        if !more { $0.hasTombstones = false }
      }
      for job in jobs { job.finish(.done) }
    } catch {
      if reclaiming, queue.withLock({ $0.canReclaim }) {
        // Perhaps reclaiming failed, or the disk is full and it is what makes room: by itself, and the jobs once more.
        reclaimStep(written)
        return apply(jobs, written, reclaiming: false)
      }
      guard jobs.count > 1 else {
        jobs[0].finish(.failed(error))
        return
      }
      for job in jobs { apply([job], written) }
    }
  }

  /// - Returns: the pages that were written.
  @discardableResult
  func transact(
    _ written: borrowing WrittenBytes,
    _ body: (borrowing WriteTransaction) throws(StoreError) -> Void
  ) throws(StoreError) -> Int {
    let before = written.count()
    var usage = Ledger.Usage()
    let id = try environment.write(body) { transaction in usage = Ledger.Usage(transaction.view) }
    let after = written.count()
    let oldest = environment.readers.oldest
    let pages =
      if let before, let after { (after - before) / SlabShape.pageBytes } else { usage.treePages }
    ledger.withLock { $0.committed(id, usage: usage, written: pages, oldestReader: oldest) }
    counters.withLock { $0.pagesWritten += pages }
    return pages
  }

  func excess(of cost: WriteCost, usingReserve: Bool) -> Int {
    let oldest = environment.readers.oldest
    let last = environment.readers.last
    return ledger.withLock {
      $0.excess(of: cost, oldestReader: oldest, last: last, usingReserve: usingReserve)
    }
  }
}
