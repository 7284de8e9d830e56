import Foundation
import SparseAttention
import Synchronization
import Testing

@Suite struct WorkerPoolTests {
  /// Sendable memory to count in; made for every test anew.
  private final class Counter: Sendable {
    let value = Atomic<Int>(0)
    func add(_ n: Int) { value.add(n, ordering: .relaxed) }
    func raise(to n: Int) { value.max(n, ordering: .relaxed) }
    var now: Int { value.load(ordering: .relaxed) }
  }

  /// While `body` runs, another thread has the pool's spare permit.
  private func withoutSparePermit(of pool: WorkerPool, _ body: () -> Void) {
    let held = Counter()
    let isOver = Counter()
    let done = DispatchSemaphore(value: 0)
    let holder = Thread {
      pool.runInline {
        held.add(1)
        while isOver.now == 0 { usleep(100) }
      }
      done.signal()
    }
    holder.start()
    while held.now == 0 { usleep(100) }
    body()
    isOver.add(1)
    done.wait()
  }

  @Test(arguments: [1, 2, 4])
  func everyItemRunsOnce(threads: Int) {
    let pool = WorkerPool(threads: threads)
    for items in [0, 1, 2, 3, 100] {
      let runs = (0..<items).map { _ in Counter() }
      let strays = Counter()
      pool.run(items) { item, participant in
        runs[item].add(1)
        if !(0..<threads).contains(participant) { strays.add(1) }
      }
      #expect(runs.allSatisfy { $0.now == 1 })
      #expect(strays.now == 0)
    }
  }

  @Test func helpersShareALargeCall() {
    let pool = WorkerPool(threads: 3)
    let arrived = (0..<3).map { _ in Counter() }
    let deadline = Date(timeIntervalSinceNow: 20)
    // Each of the three items waits for the others, so no thread can have run two of them.
    pool.run(3) { _, participant in
      arrived[participant].add(1)
      while arrived.contains(where: { $0.now == 0 }) && Date() < deadline { usleep(100) }
    }
    #expect(arrived.allSatisfy { $0.now == 1 })
  }

  /// Two items of one call never run under one participant at the same time.
  @Test func participantsAreExclusive() {
    let pool = WorkerPool(threads: 4)
    let inside = (0..<4).map { _ in Counter() }
    let clashes = Counter()
    for _ in 0..<50 {
      pool.run(40) { _, participant in
        inside[participant].add(1)
        if inside[participant].now != 1 { clashes.add(1) }
        inside[participant].add(-1)
      }
    }
    #expect(clashes.now == 0)
  }

  @Test func manyCallersFinishAndNoMoreThanOneBeyondTheThreadsComputeAtOnce() {
    let threads = 3
    let pool = WorkerPool(threads: threads)
    let computing = Counter()
    let most = Counter()
    let done = Counter()
    @Sendable func work() {
      computing.add(1)
      most.raise(to: computing.now)
      usleep(50)
      computing.add(-1)
      done.add(1)
    }
    let callers = (0..<12).map { caller in
      Thread {
        for _ in 0..<10 {
          if caller % 2 == 0 { pool.run(9) { _, _ in work() } } else { pool.runInline { work() } }
        }
        done.add(1)
      }
    }
    for caller in callers { caller.start() }
    let expected = 6 * 10 * 9 + 6 * 10 + 12
    let deadline = Date(timeIntervalSinceNow: 30)
    while done.now < expected && Date() < deadline { usleep(1000) }
    #expect(done.now == expected)
    #expect(most.now <= threads + 1)
  }

  /// A core goes on with another caller while the one that is handed a permit wakes up.
  @Test func oneCallerMoreThanThreadsComputes() {
    let pool = WorkerPool(threads: 1)
    withoutSparePermit(of: pool) {
      var ran = false
      pool.runInline { ran = true }
      #expect(ran)
    }
  }

  /// While all permits are held, others ask one after another; they get the one that becomes free in that order.
  @Test func permitsAreGivenInTheOrderOfAsking() {
    let pool = WorkerPool(threads: 1)
    let order = Mutex<[Int]>([])
    let done = Counter()
    let callers = 8
    let threads = (0..<callers).map { caller in
      Thread {
        pool.runInline { order.withLock { $0.append(caller) } }
        done.add(1)
      }
    }
    withoutSparePermit(of: pool) {
      pool.runInline {
        for (index, thread) in threads.enumerated() {
          thread.start()
          let deadline = Date(timeIntervalSinceNow: 60)
          while pool.waitingCallers <= index && Date() < deadline { usleep(100) }
          #expect(pool.waitingCallers == index + 1)
        }
        #expect(order.withLock { $0.isEmpty })
      }
      let deadline = Date(timeIntervalSinceNow: 20)
      while done.now < callers && Date() < deadline { usleep(1000) }
    }
    #expect(order.withLock { $0 } == Array(0..<callers))
  }

  /// A call with many items gives way between them.
  @Test func aSmallCallDoesNotWaitForTheWholeOfALargeOne() {
    let pool = WorkerPool(threads: 1)
    let items = Counter()
    let seen = Counter()
    let small = Thread {
      while items.now == 0 { usleep(100) }
      pool.runInline { seen.add(items.now) }
    }
    small.start()
    withoutSparePermit(of: pool) {
      pool.run(1000) { _, _ in
        items.add(1)
        usleep(1000)
      }
    }
    let deadline = Date(timeIntervalSinceNow: 20)
    while seen.now == 0 && Date() < deadline { usleep(1000) }
    #expect(seen.now > 0 && seen.now < 1000)
  }

  @Test func aClosedPoolRunsOnTheCallersThread() {
    let pool = WorkerPool(threads: 3)
    pool.close()
    pool.close()
    let others = Counter()
    let runs = Counter()
    pool.run(20) { _, participant in
      runs.add(1)
      if participant != 0 { others.add(1) }
    }
    #expect(runs.now == 20)
    #expect(others.now == 0)
    #expect(pool.runInline { 5 } == 5)
  }

  @Test func closingWaitsForACallUnderWay() {
    for _ in 0..<20 {
      let pool = WorkerPool(threads: 2)
      let runs = Counter()
      let caller = Thread {
        pool.run(50) { _, _ in
          usleep(20)
          runs.add(1)
        }
        runs.add(1000)
      }
      caller.start()
      usleep(200)
      pool.close()
      let deadline = Date(timeIntervalSinceNow: 10)
      while runs.now < 1050 && Date() < deadline { usleep(100) }
      #expect(runs.now == 1050)
    }
  }
}
