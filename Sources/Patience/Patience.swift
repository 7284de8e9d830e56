import Glibc

/// How long to look for something to happen before going to sleep.
///
/// A core that sleeps takes tens of microseconds to wake, under a hypervisor more than a small attention call takes. So where waits were
/// short lately, the next one is spent looking; where they were not, nobody's time is.
package struct Patience: Sendable {
  /// Longest time of looking, in nanoseconds: about what sleeping and waking costs.
  package static let longest: Int64 = 150_000

  /// Nanoseconds that two cores need to wake, under a hypervisor: this thread's, and that of another who would have gone on at once
  /// on a core that is awake.
  private static let waking: Int64 = 100_000

  /// Longest wait that is told from longer ones: a pause costs one look in vain, no more, so it counts for little more than a wait that
  /// is just too long to be looked for.
  private static let pause = 2 * longest

  /// Nanoseconds that the last waits took, the newest for an eighth.
  private var usual = pause

  package init() {}

  /// Nanoseconds to look for; 0: sleep at once.
  package var nanoseconds: Int64 { usual <= Self.longest ? min(Self.longest, 2 * usual) : 0 }

  /// Notes how long a wait took. Among short waits a pause now and then does not end the looking, several in a row do.
  ///
  /// What waking took is not counted where nobody looked: else waits that sleeping has made long would be slept through for ever. Where
  /// somebody looked in vain, all of it is.
  package mutating func note(_ waited: Int64, slept: Bool) {
    let needed = slept && nanoseconds == 0 ? max(0, waited - Self.waking) : waited
    usual += (min(needed, Self.pause) - usual) / 8
  }

  /// Looks whether `isThere`, as long as it pays, and lets other threads run between.
  ///
  /// - Returns: whether it came meanwhile.
  package func look(_ isThere: () -> Bool) -> Bool {
    guard nanoseconds > 0 else { return false }
    let end = Self.now + nanoseconds
    while Self.now < end {
      if isThere() { return true }
      sched_yield()
    }
    return false
  }

  /// Nanoseconds of a clock that only goes forward.
  package static var now: Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }
}
