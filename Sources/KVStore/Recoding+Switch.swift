/// The transactions around the copying.
extension Recoding {
  func switchOver() throws(StoreError) {
    let extent = source.extent
    let isFree = store.book.withLock { book in
      guard !book.isHeld(extent), book.switching == nil else { return false }
      book.switching = extent
      return true
    }
    guard isFree else {
      throw StoreError(.busy, "the session is in use", session: name)
    }
    // Whoever begins a writer or an overlay waits from here on.
    defer { store.book.withLock(notify: true) { $0.switching = nil } }
    let key = Array(name.utf8)
    let old = Tombstone(extent: source.rows.extent, slabs: sourcePlan.slabs(of: source))
    try store.writer().submit(
      WriteJob(cost: WriteCost(records: 3), usesReserve: true) {
        [name, source, target] transaction throws(StoreError) in
        guard let bytes = try transaction.view.get(.sessions, key), bytes.elementsEqual(source.encoded())
        else {
          throw StoreError(.moved, "the session was committed to or deleted meanwhile", session: name)
        }
        try transaction.put(.sessions, key, target.encoded())
        try Format.put(recoding: nil, transaction)
        try old.put(transaction)
      })
    store.validated.forget(extent: old.extent)
    try store.writer().noteTombstone()
  }
}

extension KVStore {
  /// Takes an extent for rows that are no session's yet; one at a time.
  func beginRecoding() throws(StoreError) -> UInt64 {
    var extent: UInt64 = 0
    let writer = try writer()
    try writer.submit(
      WriteJob(cost: WriteCost(records: 3)) { transaction throws(StoreError) in
        // What one has left that could not be dropped when it failed.
        try Self.buryRecoding(transaction)
        extent = try Format.takeExtent(transaction)
        try Format.put(recoding: extent, transaction)
      })
    writer.noteTombstone()
    return extent
  }

  /// Gives up the rows that were written so far.
  func dropRecoding(_ extent: UInt64) throws(StoreError) {
    let writer = try writer()
    try writer.submit(
      WriteJob(cost: WriteCost(records: 2), usesReserve: true) { transaction throws(StoreError) in
        try Self.buryRecoding(transaction)
      })
    validated.forget(extent: extent)
    writer.noteTombstone()
  }

  /// Sets a tombstone for rows that were being written anew when that ended early.
  static func buryRecoding(_ transaction: borrowing WriteTransaction) throws(StoreError) {
    guard let extent = try Format.recoding(transaction.view) else { return }
    try Tombstone(extent: extent, slabs: 0).put(transaction)
    try Format.put(recoding: nil, transaction)
  }
}
