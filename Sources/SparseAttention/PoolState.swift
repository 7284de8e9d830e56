import Patience
import Synchronization

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

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

  /// Nobody waits while there are any.
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

  init(permits: Int) {
    self.permits = permits
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
      #if canImport(Glibc)
        var thread = pthread_t()
      #else
        var thread: pthread_t?
      #endif
      let failure = pthread_create(&thread, nil, helperMain, reference.toOpaque())
      if failure != 0 {
        reference.release()
        return
      }
      #if canImport(Glibc)
        helpers.append(thread)
      #else
        if let thread { helpers.append(thread) }
      #endif
    }
  }

  func run(_ items: Int, _ body: Body) {
    // The closure does not escape: helpers use it only inside `claimItems`, and the job waits for them below.
    withoutActuallyEscaping(body) { body in
      var job = Job(items: items, body: body)
      withUnsafeMutablePointer(to: &job) { job in
        lock()
        waitForPermit()
        if items > 1 && !closed && !helpers.isEmpty {
          jobs.append(job)
          openJobs.wrappingAdd(1, ordering: .releasing)
          // A helper that finds no permit would wake for nothing.
          for _ in 0..<min(items - 1, permits) { pthread_cond_signal(work) }
        }
        while claimItems(of: job, participant: 0) == .outOfTime {
          returnPermit()
          waitForPermit()
        }
        returnPermit()
        if job.pointee.helpers > 0 { waitForHelpers(of: job) }
        unlock()
      }
    }
  }

  /// Waits, with the mutex held, until no helper works on the job.
  private func waitForHelpers(of job: UnsafeMutablePointer<Job>) {
    let start = Patience.now
    let (patience, seen) = (patience, departures.load(ordering: .acquiring))
    unlock()
    let isDone = patience.look { departures.load(ordering: .acquiring) != seen }
    lock()
    while job.pointee.helpers > 0 { pthread_cond_wait(jobLeft, mutex) }
    self.patience.note(Patience.now - start, slept: !isDone)
  }

  /// A helper's life. `participant` is its own among those of any one job.
  fileprivate func help() {
    lock()
    startedHelpers += 1
    let participant = startedHelpers
    var patience = Patience()
    while true {
      if jobs.isEmpty && !closed {
        let start = Patience.now
        unlock()
        let isThere = patience.look { openJobs.load(ordering: .acquiring) > 0 }
        lock()
        while !closed && jobs.isEmpty { pthread_cond_wait(work, mutex) }
        patience.note(Patience.now - start, slept: !isThere)
      }
      while !closed && (jobs.isEmpty || permits == 0) { pthread_cond_wait(work, mutex) }
      if closed { break }
      let job = jobs[0]
      permits -= 1
      job.pointee.helpers += 1
      _ = claimItems(of: job, participant: participant)
      job.pointee.helpers -= 1
      // Once the mutex is free and its helpers are 0, the job may be gone: it is not touched again.
      if job.pointee.helpers == 0 {
        departures.wrappingAdd(1, ordering: .releasing)
        pthread_cond_broadcast(jobLeft)
      }
      returnPermit()
    }
    unlock()
  }

  private enum Claimed { case all, outOfTime }

  /// How long a thread keeps its permit while callers wait: a small call waits for about as long behind a large one.
  private static let slice = Duration.milliseconds(2)

  /// Takes items until none is left, or its time is up and others wait. Enters and leaves with the mutex held, and a permit.
  @inline(never)  // so that this thread's references to the body are gone when it returns
  private func claimItems(of job: UnsafeMutablePointer<Job>, participant: Int) -> Claimed {
    let start = ContinuousClock.now
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

  func takePermit() {
    lock()
    waitForPermit()
    unlock()
  }

  func givePermit() {
    lock()
    returnPermit()
    unlock()
  }

  /// Takes a permit, in the order of asking.
  private func waitForPermit() {
    if permits > 0 {
      permits -= 1
    } else {
      let caller = waiting.join()
      while !caller.pointee.hasPermit { pthread_cond_wait(&caller.pointee.condition, mutex) }
      WaitingCallers.leave(caller)
    }
  }

  /// Hands the permit to whoever has waited longest: callers first, since helpers are only there to speed up others.
  private func returnPermit() {
    if waiting.wakeFirst() { return }
    permits += 1
    if !jobs.isEmpty { pthread_cond_signal(work) }
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

/// Callers that wait for a permit, the longest waiting first. All of it is used with the pool's mutex held.
private struct WaitingCallers {
  typealias Link = UnsafeMutablePointer<Caller>

  struct Caller {
    var condition = pthread_cond_t()
    var hasPermit = false
    var next: Link?
  }

  private var first: Link?
  private var last: Link?

  var isEmpty: Bool { first == nil }

  /// A place at the end, for a thread that waits until it has the permit, and then leaves.
  mutating func join() -> Link {
    let caller = Link.allocate(capacity: 1)
    caller.initialize(to: Caller())
    pthread_cond_init(&caller.pointee.condition, nil)
    if let last { last.pointee.next = caller } else { first = caller }
    last = caller
    return caller
  }

  static func leave(_ caller: Link) {
    pthread_cond_destroy(&caller.pointee.condition)
    caller.deallocate()
  }

  /// Gives the first one the permit; false when nobody waits.
  mutating func wakeFirst() -> Bool {
    guard let caller = first else { return false }
    first = caller.pointee.next
    if first == nil { last = nil }
    caller.pointee.hasPermit = true
    pthread_cond_signal(&caller.pointee.condition)
    return true
  }
}

#if canImport(Glibc)
  private func helperMain(_ state: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    serve(state)
  }
#else
  private func helperMain(_ state: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
    serve(state)
  }
#endif

/// Balances the retain of `startHelpers`.
private func serve(_ state: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard let state else { return nil }
  Unmanaged<PoolState>.fromOpaque(state).takeRetainedValue().help()
  return nil
}
