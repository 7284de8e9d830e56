import Synchronization

extension KVStore {
  /// Makes a session with no tokens.
  ///
  /// - Throws: `alreadyExists`, `tooLarge`, `quotaExceeded`.
  public func create(_ configuration: SessionConfiguration) throws(StoreError) -> Session {
    let writer = try writer()
    _ = try SessionPlan(configuration)  // refuses what cannot be stored
    let now = options.clock()
    var extent: UInt64 = 0
    let job = WriteJob(cost: WriteCost(records: 2)) { transaction throws(StoreError) in
      let key = Array(configuration.name.utf8)
      guard try transaction.view.get(.sessions, key) == nil else {
        throw StoreError(
          .alreadyExists, "there is a session of this name already", session: configuration.name)
      }
      extent = try Format.takeExtent(transaction)
      let record = SessionRecord(configuration: configuration, extent: extent, created: now)
      try transaction.put(.sessions, key, record.encoded())
    }
    try writer.submit(job)
    return try Session(store: self, configuration: configuration, extent: extent)
  }

  /// Opens a session.
  ///
  /// - Throws: `notFound`, `otherModel` and `otherText` where the session is not what is expected.
  public func open(_ name: String, expecting: SessionExpectation = .init()) throws(StoreError) -> Session {
    let record = try environment.read { view throws(StoreError) in try self.record(name, view) }
    let fingerprint = record.configuration.fingerprint
    if let expected = expecting.fingerprint, expected != .none, fingerprint != .none, expected != fingerprint
    {
      throw StoreError(
        .otherModel, "the session was made with another model: its fingerprint is \(fingerprint.hex)",
        session: name)
    }
    if let prefix = expecting.prefix, prefix.tokens == record.tokens, prefix.hash != record.tokenHash {
      throw StoreError(
        .otherText, "the session's \(record.tokens) tokens are of another text", session: name)
    }
    return try Session(store: self, configuration: record.configuration, extent: record.extent)
  }

  /// One session and its layers.
  public func describe(_ name: String) throws(StoreError) -> (SessionState, [LayerState]) {
    let record = try environment.read { view throws(StoreError) in try self.record(name, view) }
    let plan = try SessionPlan(record)
    let layers = plan.layers.indices.map { layer in
      let archive = record.archiveBytes.isEmpty ? 0 : LayerPlan.streamSlabs(record.archiveBytes[layer])
      return LayerState(
        layer: layer, tokens: record.tokens, keptRows: plan.layers[layer].keptRows(record.tokens),
        windowRows: plan.layers[layer].windowRows(record.tokens),
        storedBytes: plan.slabs(layer, of: record) * SlabShape.storedBytes,
        archiveBytes: archive * SlabShape.storedBytes, codec: record.rows.codec)
    }
    return (try state(of: record), layers)
  }

  /// Deletes a session: at once for everyone who looks, its slabs later, between commits.
  ///
  /// A session whose record is damaged can be deleted too.
  /// - Throws: `notFound`; `busy` while a writer holds it.
  public func delete(_ name: String) throws(StoreError) {
    let writer = try writer()
    let record: SessionRecord
    do throws(StoreError) {
      record = try environment.read { view throws(StoreError) in try self.record(name, view) }
    } catch {
      guard error.code == .corrupt else { throw error }
      return try deleteDamaged(name, writer)
    }
    try takeWriter(record)
    defer { releaseWriter(record.extent) }
    var buried = record
    let job = WriteJob(cost: WriteCost(records: 2), usesReserve: true) { transaction throws(StoreError) in
      guard let found = try Self.bury(name, extent: record.extent, transaction) else {
        throw StoreError(.notFound, "there is no session of this name", session: name)
      }
      buried = found
    }
    try writer.submit(job)
    forget(buried)
    writer.noteTombstone()
  }

  /// Drops what is known of a deleted session.
  func forget(_ record: SessionRecord) {
    validated.forget(extent: record.rows.extent)
    uses.forget(record.extent)
  }

  /// Takes a session's record away and sets a tombstone for its slabs.
  ///
  /// - Returns: its last record; nil where the name is not that session's any more.
  static func bury(
    _ name: String, extent: UInt64, _ transaction: borrowing WriteTransaction
  ) throws(StoreError) -> SessionRecord? {
    let key = Array(name.utf8)
    guard let bytes = try transaction.view.get(.sessions, key) else { return nil }
    let record = try SessionRecord.decode(bytes, key: key)
    guard record.extent == extent else { return nil }
    try transaction.delete(.sessions, key)
    try Tombstone(extent: record.rows.extent, slabs: try SessionPlan(record).slabs(of: record)).put(
      transaction)
    return record
  }

  /// Deletes a session whose record cannot be read: which slabs were its own shows when all others are known.
  private func deleteDamaged(_ name: String, _ writer: Writer) throws(StoreError) {
    let key = Array(name.utf8)
    let job = WriteJob(cost: WriteCost(records: 3), usesReserve: true) { transaction throws(StoreError) in
      guard let bytes = try transaction.view.get(.sessions, key) else {
        throw StoreError(.notFound, "there is no session of this name", session: name)
      }
      guard (try? SessionRecord.decode(bytes, key: key)) == nil else {
        throw StoreError(
          .moved, "the damaged session was replaced by another of its name meanwhile", session: name)
      }
      try transaction.delete(.sessions, key)
      let owners = try Self.owners(transaction.view)
      guard owners.areAll else { return }
      for extent in try Self.extents(transaction.view) where !owners.extents.contains(extent) {
        try Tombstone(extent: extent, slabs: 0).put(transaction)
      }
    }
    try writer.submit(job)
    validated.forget(session: key)
    writer.noteTombstone()
  }

  /// The extents of sessions, deleted ones included, and whether every session's record could be read.
  static func owners(_ view: borrowing ReadTransaction) throws(StoreError) -> (
    extents: Set<UInt64>, areAll: Bool
  ) {
    var extents = Set(try Tombstone.all(view).map(\.extent))
    if let extent = try Format.recoding(view) { extents.insert(extent) }
    var areAll = true
    try view.forEach(.sessions) { key, value in
      if let record = try? SessionRecord.decode(value, key: Array(key)) {
        extents.insert(record.rows.extent)
      } else {
        areAll = false
      }
      return true
    }
    return (extents, areAll)
  }

  /// The extents that have slabs.
  static func extents(_ view: borrowing ReadTransaction) throws(StoreError) -> [UInt64] {
    var extents: [UInt64] = []
    var next = RowKey.start(of: 0)
    // From extent to extent: one step each, whatever their sizes.
    while true {
      var found: UInt64?
      try view.forEach(.rows, from: next) { key, _ in
        if key.count >= 8 { found = UInt64(bigEndian: key.loadUnaligned(as: UInt64.self)) }
        return false
      }
      guard let extent = found else { return extents }
      extents.append(extent)
      guard extent < UInt64.max else { return extents }
      next = RowKey.start(of: extent + 1)
    }
  }
}

extension KVStore {
  /// The record of a session.
  ///
  /// - Parameter known: what an earlier call read; the same bytes are not decoded again.
  /// - Throws: `notFound`, `corrupt`.
  func record(
    _ name: String, _ view: borrowing ReadTransaction, known: KnownRecord? = nil
  ) throws(StoreError) -> SessionRecord {
    let key = Array(name.utf8)
    guard (1...255).contains(key.count), let bytes = try view.get(.sessions, key) else {
      throw StoreError(.notFound, "there is no session of this name", session: name)
    }
    if let record = known?.record(of: bytes) { return record }
    do throws(StoreError) {
      let record = try SessionRecord.decode(bytes, key: key)
      known?.remember(record, of: bytes)
      return record
    } catch {
      if error.code == .corrupt { validated.noteDamage(session: key) }
      throw error
    }
  }

  func state(of record: SessionRecord) throws(StoreError) -> SessionState {
    let plan = try SessionPlan(record)
    return SessionState(
      configuration: record.configuration, tokens: record.tokens, tokenHash: record.tokenHash,
      generation: record.generation, storedBytes: plan.slabs(of: record) * SlabShape.storedBytes,
      hasWriter: book.withLock { $0.written.contains(record.extent) }, created: record.created,
      committed: record.committed)
  }

  /// Makes the caller the session's one writer. Waits where the session's rows change their place just now: one commit.
  func takeWriter(_ record: SessionRecord) throws(StoreError) {
    let taken = book.wait { book in
      book.switching == record.extent ? nil : book.written.insert(record.extent).inserted
    }
    guard taken else {
      throw StoreError(.busy, "another writer holds the session", session: record.configuration.name)
    }
  }

  func releaseWriter(_ extent: UInt64) { book.withLock { _ = $0.written.remove(extent) } }

  /// Keeps the session's rows where they are, for an overlay. Waits as `takeWriter` does.
  func pin(_ extent: UInt64) {
    book.wait { book -> Void? in
      if book.switching == extent { return nil }
      book.pinned[extent, default: 0] += 1
      return ()
    }
  }

  func unpin(_ extent: UInt64) {
    book.withLock { book in
      guard let count = book.pinned.removeValue(forKey: extent), count > 1 else { return }
      book.pinned[extent] = count - 1
    }
  }
}

extension ModelFingerprint {
  /// 64 hexadecimal digits.
  public var hex: String {
    bytes.map { byte in
      let digits = String(byte, radix: 16)
      return digits.count == 1 ? "0" + digits : digits
    }.joined()
  }
}
