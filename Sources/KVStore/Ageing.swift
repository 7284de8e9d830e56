import LagKV
import Synchronization

/// The thread that compresses what nobody has used for a while, and undoes it for what is used again.
///
/// It works in small steps and rests after each for as long as the step took, so that it takes at most half of a core, and a client's
/// commit waits for at most one transaction of 2 MiB of its own.
final class Ageing: Sendable {
  /// What was done since the store was opened.
  struct Counters: Sendable {
    var demotions = 0
    var promotions = 0
  }

  private struct State: Sendable {
    var isClosing = false
    /// Sessions, by extent, that could not be recoded, and when to try again (unix seconds).
    var notBefore: [UInt64: Int64] = [:]
    var counters = Counters()
  }

  private let state = Monitor(State())
  private let coldAfterSeconds: Int64
  private let thread = Mutex<OSThread?>(nil)
  /// One look at a time.
  private let looking = Mutex(())

  /// Times that all layers of a compressed session are read before it is stored raw again: reading compressed rows once costs
  /// about as much as writing them raw.
  static let readsBeforePromotion = 4
  /// Slabs below which a session is left alone: there is nothing to gain.
  static let leastSlabs = 16
  /// Seconds before a session that could not be recoded is tried again.
  private static let retryAfter: Int64 = 600

  init(coldAfterSeconds: Int64) { self.coldAfterSeconds = max(1, coldAfterSeconds) }

  var counters: Counters { state.withLock { $0.counters } }

  /// - Parameter store: outlives the thread: its `close` stops it.
  func start(_ store: KVStore) throws(StoreError) {
    let period = Int(min(10, max(1, coldAfterSeconds / 4))) * 1000
    let started = try OSThread { [weak store, self] in
      while state.wait(milliseconds: period, { $0.isClosing ? true : nil }) == nil {
        guard let store else { return }
        lookThrough(store)
      }
    }
    thread.withLock { $0 = started }
  }

  /// Ends the thread at its next step.
  func stop() {
    state.withLock(notify: true) { $0.isClosing = true }
    let running = thread.withLock { thread in
      defer { thread = nil }
      return thread
    }
    running?.join()
  }

  /// The codec in which a session's kept rows should be, if it is not the one they are in. Pure.
  ///
  /// - Parameters:
  ///   - lastUse: unix seconds.
  ///   - reads: layers read since the rows were last recoded.
  static func wanted(
    _ record: SessionRecord, slabs: Int, lastUse: Int64, reads: Int, now: Int64, coldAfterSeconds: Int64
  ) -> Codec? {
    guard record.configuration.canBeCold else { return nil }
    if record.rows.codec == .zstd {
      return reads >= readsBeforePromotion * record.configuration.layers ? .raw : nil
    }
    let (age, overflow) = now.subtractingReportingOverflow(max(record.committed, lastUse))
    return slabs >= leastSlabs && !overflow && age >= coldAfterSeconds ? .zstd : nil
  }

  /// Recodes what should be in another codec by now.
  func lookThrough(_ store: KVStore) {
    looking.withLock { _ in
      guard let records = try? store.ageingRecords() else { return }
      let extents = Set(records.map(\.extent))
      state.withLock { state in state.notBefore = state.notBefore.filter { extents.contains($0.key) } }
      for record in records where !state.withLock({ $0.isClosing }) { look(at: record, store) }
    }
  }

  private func look(at record: SessionRecord, _ store: KVStore) {
    let now = store.options.clock()
    let use = store.uses.use(of: record.extent)
    let slabs = (try? SessionPlan(record).slabs(of: record)) ?? 0
    let isDue = state.withLock { ($0.notBefore[record.extent] ?? .min) <= now }
    guard isDue,
      let codec = Self.wanted(
        record, slabs: slabs, lastUse: use.last, reads: use.count, now: now,
        coldAfterSeconds: coldAfterSeconds)
    else { return }
    let pace = Pace()
    do throws(StoreError) {
      let isDone = try Recoding.run(store, record.configuration.name, to: codec) { [state] in
        // A session that is being read should not be compressed under its reader.
        let isWanted = codec == .raw || use.last < now
        return isWanted && pace.rest { state.wait(milliseconds: $0) { $0.isClosing ? true : nil } == nil }
      }
      guard isDone else { return }
      use.startOver()
      state.withLock { state in
        state.notBefore[record.extent] = nil
        if codec == .raw { state.counters.promotions += 1 } else { state.counters.demotions += 1 }
      }
    } catch {
      state.withLock { $0.notBefore[record.extent] = now + Self.retryAfter }
    }
  }
}

/// Rests after each step for as long as the step took.
private final class Pace {
  private let clock = ContinuousClock()
  private var began: ContinuousClock.Instant
  /// One step of 2 MiB takes milliseconds; a machine that was asleep must not make it rest for hours.
  private static let longest = 1000

  init() { began = clock.now }

  /// - Parameter wait: takes milliseconds; whether to go on.
  func rest(_ wait: (Int) -> Bool) -> Bool {
    let took = began.duration(to: clock.now)
    let goesOn = wait(min(Self.longest, max(1, Int(took / .milliseconds(1)))))
    began = clock.now
    return goesOn
  }
}

extension KVStore {
  /// The sessions whose age matters. Those whose record is damaged are left alone.
  fileprivate func ageingRecords() throws(StoreError) -> [SessionRecord] {
    try environment.read { view throws(StoreError) in
      var records: [SessionRecord] = []
      try view.forEach(.sessions) { key, value in
        if let record = try? SessionRecord.decode(value, key: Array(key)), record.configuration.canBeCold {
          records.append(record)
        }
        return true
      }
      return records
    }
  }
}
