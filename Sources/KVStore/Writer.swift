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

/// The thread that writes: it takes what is queued, applies all of it in one transaction, commits, wakes those who wait. Deleted sessions are
/// reclaimed by the commits that need their pages, and by itself when there is nothing else to do.
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

    var canReclaim: Bool { hasTombstones && !reclaimFailed && !isClosing }

    /// What to do next; nil: wait. A group's slabs stay below `limit`, unless one job alone is larger.
    ///
    /// - Parameter isIdle: nobody has asked for anything for a while.
    mutating func next(isIdle: Bool, limit: Int) -> Action? {
      if isIdle, canReclaim, jobs.isEmpty { return .reclaim }
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
  let queue: Monitor<Queue>
  private let thread = Mutex<OSThread?>(nil)
  private let readerLagLimit: Int
  private let slabPool: SlabPool

  /// Slabs that a group of commits writes at most, unless one commit alone is larger: 64 MiB.
  private static let groupLimit = (64 << 20) / SlabShape.storedBytes
  /// Slabs that a transaction frees which does nothing else.
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
    var isIdle = false
    while true {
      switch nextAction(isIdle) {
      case .commit(let jobs):
        commit(jobs, written)
        isIdle = false
      case .reclaim:
        reclaimStep(written)
        isIdle = true
      case .stop:
        return
      }
    }
  }

  /// Waits for something to do. After a while of nothing, buffers of large commits go back to the system, and deleted sessions are
  /// reclaimed.
  private func nextAction(_ wasIdle: Bool) -> Queue.Action {
    var isIdle = wasIdle
    while true {
      let next: (inout Queue) -> Queue.Action? = { $0.next(isIdle: isIdle, limit: Self.groupLimit) }
      let action: Queue.Action? = queue.wait { queue -> Queue.Action?? in
        if let action = next(&queue) { return .some(action) }
        return queue.hasSurplus || queue.canReclaim ? .some(nil) : nil
      }
      if let action { return action }
      if let action = queue.wait(milliseconds: Self.idleMilliseconds, next) { return action }
      queue.withLock { $0.hasSurplus = false }
      slabPool.trim()
      isIdle = true
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
