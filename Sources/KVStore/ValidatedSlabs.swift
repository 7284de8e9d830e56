import Synchronization

/// Which slabs have been checked since the store was opened: one bit a slab for full slabs, which never change, and
/// the generation for a stream's last slab, which every commit may replace. And which were found damaged.
final class ValidatedSlabs: Sendable {
  /// One stream of slabs.
  struct Stream: Hashable, Sendable {
    var extent: UInt64
    var kind: RowKind
    var layer: Int
    var group: Int

    init(_ key: RowKey) {
      extent = key.extent
      kind = key.kind
      layer = key.layer
      group = key.group
    }
  }

  struct Checked: Sendable {
    /// Bit `index % 64` of word `index / 64`.
    var full: [UInt64] = []
    var lastIndex = -1
    var lastGeneration: UInt64 = 0

    func contains(_ index: Int) -> Bool {
      let word = index / 64
      return word < full.count && full[word] & (1 << UInt64(index % 64)) != 0
    }

    mutating func insert(_ index: Int) {
      let word = index / 64
      while full.count <= word { full.append(0) }
      full[word] |= 1 << UInt64(index % 64)
    }
  }

  private struct State: Sendable {
    var streams: [Stream: Checked] = [:]
    var damaged: Set<RowKey> = []
    var damagedSessions: Set<[UInt8]> = []
  }

  private let state = Mutex(State())
  /// Most damaged records that are remembered by key.
  private static let damagedLimit = 65_536

  /// Whether this version of the slab has been checked.
  func contains(_ header: SlabHeader, isFull: Bool) -> Bool {
    state.withLock { state in
      guard let checked = state.streams[Stream(header.key)] else { return false }
      if isFull { return checked.contains(header.key.index) }
      return checked.lastIndex == header.key.index && checked.lastGeneration == header.generation
    }
  }

  func insert(_ header: SlabHeader, isFull: Bool) {
    state.withLock { state in
      var checked = state.streams.removeValue(forKey: Stream(header.key)) ?? Checked()
      if isFull {
        checked.insert(header.key.index)
      } else {
        checked.lastIndex = header.key.index
        checked.lastGeneration = header.generation
      }
      state.streams[Stream(header.key)] = checked
      state.damaged.remove(header.key)
    }
  }

  func noteDamage(_ key: RowKey) {
    state.withLock { state in
      if state.damaged.count < Self.damagedLimit { state.damaged.insert(key) }
    }
  }

  /// Notes a session whose record is damaged.
  func noteDamage(session name: [UInt8]) {
    state.withLock { state in
      if state.damagedSessions.count < Self.damagedLimit { state.damagedSessions.insert(name) }
    }
  }

  func forget(session name: [UInt8]) { state.withLock { _ = $0.damagedSessions.remove(name) } }

  func forget(extent: UInt64) {
    state.withLock { state in
      state.streams = state.streams.filter { $0.key.extent != extent }
      state.damaged = state.damaged.filter { $0.extent != extent }
    }
  }

  var damagedCount: Int { state.withLock { $0.damaged.count + $0.damagedSessions.count } }
}
