import Synchronization

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
  let readerLagLimit: Int
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
