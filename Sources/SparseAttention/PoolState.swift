import Glibc
import Patience
import Synchronization

/// What the helpers and callers of a ``WorkerPool`` share.
///
/// Sendable by `@unchecked`: every variable, a job's too, is read and written with `mutex` held; the pointers and
/// a job's body are set once. The pointers live until `deinit`, which runs after the last helper has ended, since
/// each holds a reference.
final class PoolState: @unchecked Sendable {
  typealias Body = @Sendable (_ item: Int, _ participant: Int) -> Void

  /// A call's work. Lives on the caller's stack until no helper works on it any more.
  private struct Job {
    let items: Int
    let body: Body
    var nextItem = 0
    var helpers = 0
  }

  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  /// For helpers: a job has items to claim and a permit is free, or the pool closes.
  private let work = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  /// For callers: a job's last helper has left it.
  private let jobLeft = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  /// Permits that callers take beyond the threads that should compute. A permit goes to a thread that sleeps, and until that one runs
  /// its core would have nothing to do.
  private static let spare = 1

  /// No caller waits while there are any. Helpers leave the spare one to callers.
  private var permits: Int
  private var waiting = WaitingCallers()
  /// Jobs with unclaimed items, oldest first.
  private var jobs: [UnsafeMutablePointer<Job>] = []
  private var helpers: [pthread_t] = []
  private var startedHelpers = 0
  private var closed = false
  /// How long callers wait for a job's last helper.
  private var patience = Patience()
  /// For threads that look before they sleep, without the mutex: jobs with unclaimed items, and how often a job's last helper left.
  private let openJobs = Atomic<Int>(0)
  private let departures = Atomic<Int>(0)

  static var onlineCores: Int { max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))) }

  init(threads: Int) {
    self.permits = threads + Self.spare
    pthread_mutex_init(mutex, nil)
    for condition in [work, jobLeft] { pthread_cond_init(condition, nil) }
    jobs.reserveCapacity(64)
  }

  deinit {
    for condition in [work, jobLeft] {
      pthread_cond_destroy(condition)
      condition.deallocate()
    }
    pthread_mutex_destroy(mutex)
    mutex.deallocate()
  }

  func startHelpers(_ count: Int) {
    lock()
    defer { unlock() }
    for _ in 0..<count {
      // The new thread owns this reference and gives it back when it ends.
      let reference = Unmanaged.passRetained(self)
      var thread = pthread_t()
      let failure = pthread_create(&thread, nil, helperMain, reference.toOpaque())
      if failure != 0 {
        reference.release()
        return
      }
      helpers.append(thread)
    }
  }

  func run(_ items: Int, _ body: Body) {
    // The closure does not escape: helpers use it only inside `claimItems`, and the job waits for them below.
    withoutActuallyEscaping(body) { body in
      var job = Job(items: items, body: body)
      withUnsafeMutablePointer(to: &job) { job in
        takePermit()
        if items > 1 { callHelpers(to: job) }
        while claimItems(of: job, participant: 0) == .outOfTime {
          givePermit()
          takePermit()
        }
        givePermit()
        if items > 1 { waitForHelpers(of: job) }
      }
    }
  }

  private func callHelpers(to job: UnsafeMutablePointer<Job>) {
    lock()
    // A helper that finds no permit would wake for nothing.
    var calls = 0
    if !closed && !helpers.isEmpty {
      jobs.append(job)
      openJobs.wrappingAdd(1, ordering: .releasing)
      calls = max(0, min(job.pointee.items - 1, permits - Self.spare))
    }
    unlock()
    for _ in 0..<calls { pthread_cond_signal(work) }
  }

  /// Waits until no helper works on the job, whose items are all claimed.
  private func waitForHelpers(of job: UnsafeMutablePointer<Job>) {
    lock()
    if job.pointee.helpers > 0 {
      let start = Patience.now
      let (patience, seen) = (patience, departures.load(ordering: .acquiring))
      unlock()
      let isDone = patience.look { departures.load(ordering: .acquiring) != seen }
      lock()
      while job.pointee.helpers > 0 { pthread_cond_wait(jobLeft, mutex) }
      self.patience.note(Patience.now - start, slept: !isDone)
    }
    unlock()
  }

  /// A helper's life. `participant` is its own among those of any one job.
  fileprivate func help() {
    lock()
    startedHelpers += 1
    let participant = startedHelpers
    unlock()
    var patience = Patience()
    while let job = nextJob(&patience) {
      _ = claimItems(of: job, participant: participant)
      leave(job)
      givePermit()
    }
  }

  /// Waits for a job with unclaimed items and for a permit, and joins it; nil: the pool closes.
  private func nextJob(_ patience: inout Patience) -> UnsafeMutablePointer<Job>? {
    lock()
    defer { unlock() }
    if jobs.isEmpty && !closed {
      let start = Patience.now
      unlock()
      let isThere = patience.look { openJobs.load(ordering: .acquiring) > 0 }
      lock()
      while !closed && jobs.isEmpty { pthread_cond_wait(work, mutex) }
      patience.note(Patience.now - start, slept: !isThere)
    }
    while !closed && (jobs.isEmpty || permits <= Self.spare) { pthread_cond_wait(work, mutex) }
    if closed { return nil }
    permits -= 1
    jobs[0].pointee.helpers += 1
    return jobs[0]
  }

  private func leave(_ job: UnsafeMutablePointer<Job>) {
    lock()
    job.pointee.helpers -= 1
    // Once the mutex is free and its helpers are 0, the job may be gone: it is not touched again.
    let isLast = job.pointee.helpers == 0
    if isLast { departures.wrappingAdd(1, ordering: .releasing) }
    unlock()
    if isLast { pthread_cond_broadcast(jobLeft) }
  }

  private enum Claimed { case all, outOfTime }

  /// How long a thread keeps its permit while callers wait: a small call waits for about as long behind a large one.
  private static let slice = Duration.milliseconds(2)

  /// Takes items until none is left, or its time is up and others wait. To be called with a permit.
  @inline(never)  // so that this thread's references to the body are gone when it returns
  private func claimItems(of job: UnsafeMutablePointer<Job>, participant: Int) -> Claimed {
    let start = ContinuousClock.now
    lock()
    defer { unlock() }
    while job.pointee.nextItem < job.pointee.items {
      if !waiting.isEmpty, ContinuousClock.now - start > Self.slice { return .outOfTime }
      let item = job.pointee.nextItem
      job.pointee.nextItem += 1
      if job.pointee.nextItem == job.pointee.items, let i = jobs.firstIndex(of: job) {
        jobs.remove(at: i)
        openJobs.wrappingSubtract(1, ordering: .relaxed)
      }
      unlock()
      job.pointee.body(item, participant)
      lock()
    }
    return .all
  }

  /// Takes a permit, in the order of asking.
  func takePermit() {
    lock()
    if permits > 0 {
      permits -= 1
      unlock()
    } else {
      let turn = waiting.join()
      unlock()
      turn.wait()
    }
  }

  /// Hands the permit to whoever has waited longest: callers first, since helpers are only there to speed up others.
  ///
  /// Like all who wake others, it does so with the mutex free: a thread that wakes at once would wait for it, and two switches of
  /// threads would be lost.
  func givePermit() {
    lock()
    let next = waiting.leave()
    if next == nil { permits += 1 }
    let isHelperCalled = next == nil && permits > Self.spare && !jobs.isEmpty
    unlock()
    next?.signal()
    if isHelperCalled { pthread_cond_signal(work) }
  }

  var waitingCallers: Int {
    lock()
    defer { unlock() }
    return waiting.count
  }

  func close() {
    lock()
    closed = true
    let ending = helpers
    helpers = []
    pthread_cond_broadcast(work)
    unlock()
    for thread in ending { pthread_join(thread, nil) }
  }

  private func lock() { pthread_mutex_lock(mutex) }
  private func unlock() { pthread_mutex_unlock(mutex) }
}

/// Balances the retain of `startHelpers`.
private func helperMain(_ state: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard let state else { return nil }
  Unmanaged<PoolState>.fromOpaque(state).takeRetainedValue().help()
  return nil
}
