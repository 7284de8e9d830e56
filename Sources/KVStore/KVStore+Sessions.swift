import Synchronization

extension KVStore {
  /// Makes a session with no tokens.
  ///
  /// - Throws: `alreadyExists`, `tooLarge`, `quotaExceeded`.
  public func create(_ configuration: SessionConfiguration) throws(StoreError) -> Session {
    let writer = try writer()
    let plan = try SessionPlan(configuration)
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
    return Session(store: self, configuration: configuration, extent: extent, plan: plan)
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
    return Session(
      store: self, configuration: record.configuration, extent: record.extent,
      plan: try SessionPlan(record.configuration))
  }

  /// All sessions, in order of their names' bytes. One whose record is damaged makes this throw `corrupt` with its name.
  public func sessions() throws(StoreError) -> [SessionState] {
    let records = try environment.read { view throws(StoreError) in try Self.records(view) }
    var states: [SessionState] = []
    for record in records { states.append(try state(of: record)) }
    return states
  }

  /// One session and its layers.
  public func describe(_ name: String) throws(StoreError) -> (SessionState, [LayerState]) {
    let record = try environment.read { view throws(StoreError) in try self.record(name, view) }
    let plan = try SessionPlan(record.configuration)
    let layers = plan.layers.indices.map { layer in
      let archive = record.archiveBytes.isEmpty ? 0 : LayerPlan.streamSlabs(record.archiveBytes[layer])
      return LayerState(
        layer: layer, tokens: record.tokens, keptRows: plan.layers[layer].keptRows(record.tokens),
        windowRows: plan.layers[layer].windowRows(record.tokens),
        storedBytes: plan.slabs(layer, of: record) * SlabShape.storedBytes,
        archiveBytes: archive * SlabShape.storedBytes, codec: record.configuration.codec)
    }
    return (try state(of: record), layers)
  }

  /// Deletes a session: at once for everyone who looks, its slabs later, between commits.
  ///
  /// - Throws: `notFound`; `busy` while a writer holds it.
  public func delete(_ name: String) throws(StoreError) {
    let writer = try writer()
    // A damaged record does not keep a session from being deleted: its key says which it is, and `verify` reports what is
    // left behind of it.
    let record = try environment.read { view throws(StoreError) in try self.record(name, view) }
    try takeWriter(record)
    defer { releaseWriter(record.extent) }
    let slabs = try SessionPlan(record.configuration).slabs(of: record)
    let job = WriteJob(cost: WriteCost(records: 2), usesReserve: true) { transaction throws(StoreError) in
      let key = Array(name.utf8)
      guard let bytes = try transaction.view.get(.sessions, key),
        try SessionRecord.decode(bytes, key: key).extent == record.extent
      else { throw StoreError(.notFound, "there is no session of this name", session: name) }
      try transaction.delete(.sessions, key)
      let tombstone = Tombstone(extent: record.extent, slabs: slabs)
      try transaction.put(.tombstones, Tombstone.key(record.extent), tombstone.encoded())
    }
    try writer.submit(job)
    validated.forget(extent: record.extent)
    writer.noteTombstone()
  }
}

extension KVStore {
  /// The record of a session.
  ///
  /// - Throws: `notFound`, `corrupt`.
  func record(_ name: String, _ view: borrowing ReadTransaction) throws(StoreError) -> SessionRecord {
    let key = Array(name.utf8)
    guard (1...255).contains(key.count), let bytes = try view.get(.sessions, key) else {
      throw StoreError(.notFound, "there is no session of this name", session: name)
    }
    return try SessionRecord.decode(bytes, key: key)
  }

  static func records(_ view: borrowing ReadTransaction) throws(StoreError) -> [SessionRecord] {
    var records: [SessionRecord] = []
    try view.forEach(.sessions) { key, value throws(StoreError) in
      records.append(try SessionRecord.decode(value, key: Array(key)))
      return true
    }
    return records
  }

  func state(of record: SessionRecord) throws(StoreError) -> SessionState {
    let plan = try SessionPlan(record.configuration)
    return SessionState(
      configuration: record.configuration, tokens: record.tokens, tokenHash: record.tokenHash,
      generation: record.generation, storedBytes: plan.slabs(of: record) * SlabShape.storedBytes,
      hasWriter: book.withLock { $0.written.contains(record.extent) }, created: record.created,
      committed: record.committed)
  }

  /// Makes the caller the session's one writer.
  func takeWriter(_ record: SessionRecord) throws(StoreError) {
    let taken = book.withLock { $0.written.insert(record.extent).inserted }
    guard taken else {
      throw StoreError(.busy, "another writer holds the session", session: record.configuration.name)
    }
  }

  func releaseWriter(_ extent: UInt64) { book.withLock { _ = $0.written.remove(extent) } }
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
