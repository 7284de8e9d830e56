import Synchronization

/// Which slabs have been checked since the store was opened, and where in the map they lie: of every stream the slabs that
/// never change again, and its last one, which every commit may replace, by its generation. And which were found damaged.
///
/// A place stays right for every snapshot whose record expects that version of the slab: LMDB moves a value only when it is
/// written again, does not use its pages again while a snapshot shows them, and no extent is used twice.
final class ValidatedSlabs: Sendable {
  /// One stream of slabs.
  struct Stream: Hashable, Sendable {
    var extent: UInt64
    var kind: RowKind
    var layer: Int
    var group: Int

    init(extent: UInt64, kind: RowKind, layer: Int, group: Int) {
      self.extent = extent
      self.kind = kind
      self.layer = layer
      self.group = group
    }

    init(_ key: RowKey) {
      self.init(extent: key.extent, kind: key.kind, layer: key.layer, group: key.group)
    }
  }

  /// Addresses of slab values; 0 where the slab has not been checked.
  private struct Places: Sendable {
    /// Of slabs that are final, from number `start` on.
    private var final: [UInt] = []
    private var start = 0
    var lastIndex = -1
    var lastGeneration: UInt64 = 0
    var last: UInt = 0

    func final(_ index: Int) -> UInt {
      index >= start && index - start < final.count ? final[index - start] : 0
    }

    mutating func setFinal(_ index: Int, _ address: UInt) {
      guard index >= start else { return }
      let missing = index - start + 1 - final.count
      if missing > 0 { final.append(contentsOf: repeatElement(0, count: missing)) }
      final[index - start] = address
    }

    var count: Int { final.count }

    /// Forgets the slabs before number `index`, which nobody asks for any more.
    mutating func forget(before index: Int) {
      guard index > start else { return }
      final.removeFirst(min(index - start, final.count))
      start = index
    }
  }

  private struct State: Sendable {
    var streams: [Stream: Places] = [:]
    var damaged: Set<RowKey> = []
    var damagedSessions: Set<[UInt8]> = []
  }

  private let state = Mutex(State())
  /// Most damaged records that are remembered by key.
  private static let damagedLimit = 65_536

  /// Where the slab lies, if this version of it has been checked.
  ///
  /// - Parameters:
  ///   - expected: its header; only a slab that is not final must have this generation.
  ///   - isFinal: no commit changes it any more.
  func place(of expected: SlabHeader, isFinal: Bool) -> UnsafeRawPointer? {
    let index = expected.key.index
    let address: UInt = state.withLock { state in
      guard let places = state.streams[Stream(expected.key)] else { return 0 }
      if isFinal { return places.final(index) }
      return places.lastIndex == index && places.lastGeneration == expected.generation ? places.last : 0
    }
    return UnsafeRawPointer(bitPattern: address)
  }

  /// Where the slabs `indices` of a stream lie, which are final, as far as they have been checked. One lock for all of them: many
  /// threads that take it for each slab hold each other up.
  func places(of stream: Stream, _ indices: Range<Int>) -> KnownPlaces {
    guard !indices.isEmpty else { return KnownPlaces(first: 0, addresses: []) }
    let addresses = [UInt](unsafeUninitializedCapacity: indices.count) { target, count in
      state.withLock { state in
        let places = state.streams[stream] ?? Places()
        for (i, index) in indices.enumerated() {
          target.initializeElement(at: i, to: places.final(index))
        }
      }
      count = indices.count
    }
    return KnownPlaces(first: indices.lowerBound, addresses: addresses)
  }

  /// Notes a slab whose checksum was right.
  ///
  /// - Parameter first: the first slab of its stream that the session still has.
  func insert(_ header: SlabHeader, at place: UnsafeRawPointer, isFinal: Bool, first: Int) {
    let index = header.key.index
    state.withLock { state in
      // Taken out and put back, so that the array is not copied.
      var places = state.streams.removeValue(forKey: Stream(header.key)) ?? Places()
      if isFinal {
        places.forget(before: first)
        places.setFinal(index, UInt(bitPattern: place))
      } else {
        places.lastIndex = index
        places.lastGeneration = header.generation
        places.last = UInt(bitPattern: place)
      }
      state.streams[Stream(header.key)] = places
      state.damaged.remove(header.key)
    }
  }

  /// Notes a damaged record; the next read checks it again.
  func noteDamage(_ key: RowKey) {
    state.withLock { state in
      if state.damaged.count < Self.damagedLimit { state.damaged.insert(key) }
      guard var places = state.streams.removeValue(forKey: Stream(key)) else { return }
      if places.final(key.index) != 0 { places.setFinal(key.index, 0) }
      if key.index == places.lastIndex { places.lastIndex = -1 }
      state.streams[Stream(key)] = places
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

  /// Numbers of slabs that there is a place for.
  var count: Int { state.withLock { $0.streams.values.reduce(0) { $0 + $1.count } } }

  var damagedCount: Int { state.withLock { $0.damaged.count + $0.damagedSessions.count } }
}

/// Where some slabs of a stream lie in the map.
struct KnownPlaces {
  let first: Int
  /// 0 where one is not known.
  let addresses: [UInt]

  /// Slab `index` of the stream; nil: not known.
  subscript(index: Int) -> UnsafeRawPointer? {
    let i = index - first
    return i >= 0 && i < addresses.count ? UnsafeRawPointer(bitPattern: addresses[i]) : nil
  }
}
