/// Sessions in order of their names' bytes, as many as were asked for.
public struct SessionPage: Sendable, Hashable {
  public var sessions: [SessionState] = []
  /// There are others behind the last one.
  public var hasMore = false
}

extension KVStore {
  /// All sessions, in order of their names' bytes; without those whose record is damaged, which `verify` names.
  public func sessions() throws(StoreError) -> [SessionState] {
    try sessions(limit: .max, recordBytes: .max).sessions
  }

  /// Some sessions, in that order; nothing is read but them and the one behind.
  ///
  /// - Parameters:
  ///   - name: only sessions whose names come behind these bytes, which need not be any session's name; empty: from the first.
  ///   - limit: most sessions.
  ///   - recordBytes: no others are listed once the stored records of those that are take so many bytes.
  public func sessions(
    after name: [UInt8] = [], limit: Int, recordBytes: Int
  ) throws(StoreError) -> SessionPage {
    // The least key behind a name is the name with a zero byte.
    let start = name.isEmpty ? [] : name + [0]
    var page = SessionPage()
    let records = try environment.read { view throws(StoreError) in
      var records: [SessionRecord] = []
      var bytes = 0
      try view.forEach(.sessions, from: start) { key, value throws(StoreError) in
        do throws(StoreError) {
          let record = try SessionRecord.decode(value, key: Array(key))
          page.hasMore = records.count >= limit || bytes >= recordBytes
          if page.hasMore { return false }
          records.append(record)
          bytes += value.count
        } catch {
          guard error.code == .corrupt else { throw error }
          validated.noteDamage(session: Array(key))
        }
        return true
      }
      return records
    }
    for record in records { page.sessions.append(try state(of: record)) }
    return page
  }
}
