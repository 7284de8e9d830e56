import Synchronization

/// When and how often rows of a session were read by attention, a layer at a time, since the store was opened, or since its rows were last recoded.
final class SessionUse: Sendable {
  private let lastSeconds = Atomic<Int64>(.min)
  private let reads = Atomic<Int>(0)

  /// Notes that one layer was read.
  ///
  /// - Parameter now: unix seconds.
  func note(_ now: Int64) {
    lastSeconds.store(now, ordering: .relaxed)
    reads.wrappingAdd(1, ordering: .relaxed)
  }

  func startOver() { reads.store(0, ordering: .relaxed) }

  /// Unix seconds; `Int64.min`: never.
  var last: Int64 { lastSeconds.load(ordering: .relaxed) }
  var count: Int { reads.load(ordering: .relaxed) }
}

/// The uses of sessions, by their extents.
final class SessionUses: Sendable {
  private let all = Mutex<[UInt64: SessionUse]>([:])

  func use(of extent: UInt64) -> SessionUse {
    all.withLock { all in
      if let use = all[extent] { return use }
      let use = SessionUse()
      all[extent] = use
      return use
    }
  }

  func forget(_ extent: UInt64) { all.withLock { _ = $0.removeValue(forKey: extent) } }
}
