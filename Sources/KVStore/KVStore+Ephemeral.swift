/// Ephemeral sessions: whoever makes one ends it, and what nobody has ended goes when the store is closed or opened again.
extension KVStore {
  /// Ends an ephemeral session, like a deletion, but also while somebody writes to it or reads: their next calls fail with
  /// `notFound`. Does nothing where it is gone, also where another of its name was made since.
  ///
  /// - Throws: `invalidArgument` for a session that is not ephemeral.
  public func end(_ session: Session) throws(StoreError) {
    let name = session.configuration.name
    guard session.configuration.ephemeral else {
      throw StoreError(.invalidArgument, "the session is not ephemeral: delete it", session: name)
    }
    let writer = try writer()
    let isThere = try environment.read { view throws(StoreError) in
      do throws(StoreError) {
        _ = try session.record(view)
        return true
      } catch {
        guard error.code == .notFound else { throw error }
        return false
      }
    }
    if isThere { try end([(name, session.extent)], writer) }
  }

  /// Ends every ephemeral session: those whose makers were cut off, or went with the process before this one.
  func endEphemeral(_ writer: Writer) throws(StoreError) {
    let found = try environment.read { view throws(StoreError) in
      var found: [(name: String, extent: UInt64)] = []
      try view.forEach(.sessions) { key, value in
        if let record = try? SessionRecord.decode(value, key: Array(key)), record.configuration.ephemeral {
          found.append((record.configuration.name, record.extent))
        }
        return true
      }
      return found
    }
    // Few at a time, so that a transaction stays as small as the reserve that deletions may use.
    for start in stride(from: 0, to: found.count, by: 32) {
      try end(Array(found[start..<min(start + 32, found.count)]), writer)
    }
  }

  private func end(_ sessions: [(name: String, extent: UInt64)], _ writer: Writer) throws(StoreError) {
    let cost = WriteCost(records: 2 * sessions.count)
    var buried: [SessionRecord] = []
    try writer.submit(
      WriteJob(cost: cost, usesReserve: true) { transaction throws(StoreError) in
        buried = []
        for session in sessions {
          if let record = try Self.bury(session.name, extent: session.extent, transaction) {
            buried.append(record)
          }
        }
      })
    for record in buried { forget(record) }
    writer.noteTombstone()
  }
}
