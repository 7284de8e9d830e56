import Synchronization

/// One change of the store, done by the writer thread.
///
/// `@unchecked Sendable`: the thread that submits a job waits in `Writer.submit` until the job is done, so `body` and what it
/// captured are used by one thread at a time; the queue's lock orders the hand-over both ways.
final class WriteJob: @unchecked Sendable {
  let cost: WriteCost
  /// Deletes may use the reserve.
  let usesReserve: Bool
  /// Runs inside the transaction; again, should another job of its group fail. Must change nothing but the store.
  /// nil once the job is done.
  private(set) var body: ((borrowing WriteTransaction) throws(StoreError) -> Void)?
  fileprivate let outcome = Monitor<Outcome>(.pending)

  fileprivate enum Outcome: Sendable {
    case pending, done
    case failed(StoreError)
  }

  init(
    cost: WriteCost, usesReserve: Bool = false,
    _ body: @escaping (borrowing WriteTransaction) throws(StoreError) -> Void
  ) {
    self.cost = cost
    self.usesReserve = usesReserve
    self.body = body
  }

  /// Wakes the thread that waits. What `body` captured is let go before: the slabs of this commit are in the pool when the
  /// next one is staged, so a stream of commits needs no second set of them.
  fileprivate func finish(_ outcome: Outcome) {
    body = nil
    self.outcome.withLock(notify: true) { $0 = outcome }
  }
}

/// The thread that writes: it takes what is queued, applies all of it in one transaction, commits, wakes those who wait; and
/// between commits it reclaims deleted sessions.
final class Writer: Sendable {
  struct Counters: Sendable {
    var groups = 0
    var pagesWritten = 0
  }

  /// The pure part of the queue.
  struct Queue: Sendable {
    var jobs: [WriteJob] = []
    var isClosing = false
    /// Deleted sessions wait to be reclaimed.
    var hasTombstones: Bool
    /// There are more free buffers than should stay.
    var hasSurplus = false
    /// Reclaiming failed; it is not tried again before the next commit or deletion.
    var reclaimFailed = false

    enum Action: Sendable {
      case commit([WriteJob])
      case reclaim, stop
    }

    /// What to do next; nil: wait. A group's slabs stay below `limit`, unless one job alone is larger.
    mutating func next(afterCommit: Bool, limit: Int) -> Action? {
      let canReclaim = hasTombstones && !reclaimFailed && !isClosing
      if canReclaim, afterCommit || jobs.isEmpty { return .reclaim }
      guard let first = jobs.first else { return isClosing ? .stop : nil }
      var count = 1
      var slabs = first.cost.slabs
      while count < jobs.count, slabs + jobs[count].cost.slabs <= limit {
        slabs += jobs[count].cost.slabs
        count += 1
      }
      let group = Array(jobs[..<count])
      jobs.removeFirst(count)
      return .commit(group)
    }
  }

  let environment: Environment
  let ledger: Mutex<Ledger>
  let counters = Mutex(Counters())
  private let queue: Monitor<Queue>
  private let thread = Mutex<OSThread?>(nil)
  private let readerLagLimit: Int
  private let slabPool: SlabPool

  /// Slabs that a group of commits writes at most, unless one commit alone is larger: 64 MiB.
  private static let groupLimit = (64 << 20) / SlabShape.storedBytes
  /// Slabs that one reclaiming transaction frees.
  static let reclaimLimit = 1000
  private static let idleMilliseconds = 1000

  init(
    environment: Environment, ledger: Ledger, hasTombstones: Bool, readerLagLimit: Int, slabPool: SlabPool
  ) {
    self.environment = environment
    self.ledger = Mutex(ledger)
    queue = Monitor(Queue(hasTombstones: hasTombstones))
    self.readerLagLimit = readerLagLimit
    self.slabPool = slabPool
  }

  func start() throws(StoreError) {
    slabPool.onSurplus { [weak self] in self?.queue.withLock(notify: true) { $0.hasSurplus = true } }
    let started = try OSThread { [self] in run() }
    thread.withLock { $0 = started }
  }

  /// Queues the job and waits until it is committed or has failed.
  func submit(_ job: WriteJob) throws(StoreError) {
    let accepted = queue.withLock(notify: true) { queue in
      if queue.isClosing { return false }
      queue.jobs.append(job)
      return true
    }
    guard accepted else { throw StoreError(.closed, "the store is closed") }
    let outcome = job.outcome.wait { outcome -> WriteJob.Outcome? in
      if case .pending = outcome { return nil }
      return outcome
    }
    if case .failed(let error) = outcome { throw error }
  }

  var queued: Int { queue.withLock { $0.jobs.count } }

  /// Tells the writer that a tombstone was set.
  func noteTombstone() {
    queue.withLock(notify: true) {
      $0.hasTombstones = true
      $0.reclaimFailed = false
    }
  }

  /// Commits what is queued, then ends the thread.
  func stop() {
    queue.withLock(notify: true) { $0.isClosing = true }
    let running = thread.withLock { thread in
      defer { thread = nil }
      return thread
    }
    running?.join()
  }

  private func run() {
    let written = WrittenBytes()
    var afterCommit = false
    while true {
      switch nextAction(afterCommit) {
      case .commit(let jobs):
        commit(jobs, written)
        afterCommit = true
      case .reclaim:
        reclaimStep(written)
        afterCommit = false
      case .stop:
        return
      }
    }
  }

  /// Waits for something to do. After a while of nothing, buffers of large commits go back to the system.
  private func nextAction(_ afterCommit: Bool) -> Queue.Action {
    let next: (inout Queue) -> Queue.Action? = { $0.next(afterCommit: afterCommit, limit: Self.groupLimit) }
    while true {
      let action: Queue.Action? = queue.wait { queue -> Queue.Action?? in
        if let action = next(&queue) { return .some(action) }
        return queue.hasSurplus ? .some(nil) : nil
      }
      if let action { return action }
      if let action = queue.wait(milliseconds: Self.idleMilliseconds, next) { return action }
      queue.withLock { $0.hasSurplus = false }
      slabPool.trim()
    }
  }
}

// MARK: - Commit

extension Writer {
  private func commit(_ jobs: [WriteJob], _ written: borrowing WrittenBytes) {
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

  /// Applies the jobs in one transaction. If one fails, none is kept and each runs again alone.
  private func apply(_ jobs: [WriteJob], _ written: borrowing WrittenBytes) {
    do throws(StoreError) {
      try transact(written) { transaction throws(StoreError) in
        for job in jobs { try job.body?(transaction) }
      }
      counters.withLock { $0.groups += 1 }
      queue.withLock { $0.reclaimFailed = false }
      for job in jobs { job.finish(.done) }
    } catch {
      guard jobs.count > 1 else {
        jobs[0].finish(.failed(error))
        return
      }
      for job in jobs { apply([job], written) }
    }
  }

  private func transact(
    _ written: borrowing WrittenBytes,
    _ body: (borrowing WriteTransaction) throws(StoreError) -> Void
  ) throws(StoreError) {
    let before = written.count()
    var usage = Ledger.Usage()
    let id = try environment.write(body) { transaction in usage = Ledger.Usage(transaction.view) }
    let after = written.count()
    let oldest = environment.readers.oldest
    let pages =
      if let before, let after { (after - before) / SlabShape.pageBytes } else { usage.treePages }
    ledger.withLock { $0.committed(id, usage: usage, written: pages, oldestReader: oldest) }
    counters.withLock { $0.pagesWritten += pages }
  }

  func excess(of cost: WriteCost, usingReserve: Bool) -> Int {
    let oldest = environment.readers.oldest
    let last = environment.readers.last
    return ledger.withLock {
      $0.excess(of: cost, oldestReader: oldest, last: last, usingReserve: usingReserve)
    }
  }

  /// Reclaims deleted sessions, waits (bounded) for readers, and lets transactions pass, until the job fits.
  ///
  /// - Returns: why it does not; nil: it fits.
  private func makeRoom(for job: WriteJob, _ written: borrowing WrittenBytes) -> StoreError? {
    var ticks = 0
    while true {
      let excess = excess(of: job.cost, usingReserve: job.usesReserve)
      if excess <= 0 { return nil }
      if queue.withLock({ $0.hasTombstones && !$0.reclaimFailed }) {
        reclaimStep(written)
      } else if ticks < 3 {
        // Pages that the last transaction freed become usable when another has passed and no reader sees them.
        environment.readers.waitForLaggards(limit: 0, milliseconds: 50)
        try? transact(written) { transaction throws(StoreError) in
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

// MARK: - Reclaim

extension Writer {
  /// Frees at most `reclaimLimit` slabs of deleted sessions.
  private func reclaimStep(_ written: borrowing WrittenBytes) {
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
}
