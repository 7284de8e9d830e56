/// What `verify` found.
public struct VerificationReport: Sendable, Hashable {
  /// Records checked.
  public var records = 0
  public var bytes = 0
  /// One for each damaged record.
  public var damage: [StoreError] = []
}

extension KVStore {
  /// Checks every record of one session or of all: headers, checksums, positions, that every frame decompresses; and that
  /// no slab belongs to nobody. Damage of ephemeral sessions does not count in a store that is open for reading alone: those
  /// that a killed daemon left are as good as gone.
  ///
  /// - Parameters:
  ///   - name: nil: all sessions.
  ///   - progress: called now and then with records and bytes checked so far.
  /// - Throws: `notFound`, `closed`; damage is reported, not thrown.
  public func verify(
    _ name: String?, progress: ((_ records: Int, _ bytes: Int) -> Void)? = nil
  ) throws(StoreError) -> VerificationReport {
    try verify(name, ignoringEphemeral: isReadOnly, progress)
  }

  /// - Parameter ignoringEphemeral: check ephemeral sessions too, but report no damage of theirs.
  func verify(
    _ name: String?, ignoringEphemeral: Bool, _ progress: ((_ records: Int, _ bytes: Int) -> Void)? = nil
  ) throws(StoreError) -> VerificationReport {
    var report = VerificationReport()
    var names: [[UInt8]] = []
    if let name {
      names = [Array(name.utf8)]
      _ = try environment.read { view throws(StoreError) in try self.record(name, view).tokens }
    } else {
      try noting(&report) { _ throws(StoreError) in
        try environment.read { view throws(StoreError) in
          try view.forEach(.sessions) { key, _ in
            names.append(Array(key))
            return true
          }
        }
      }
    }
    for key in names {
      let known = report.damage.count
      let isEphemeral = try verify(session: key, &report, progress)
      if isEphemeral, ignoringEphemeral { report.damage.removeLast(report.damage.count - known) }
    }
    if name == nil { try noting(&report, verifyOwners) }
    return report
  }

  /// Runs a part of the check; damage that ends it is reported.
  private func noting(
    _ report: inout VerificationReport, _ body: (inout VerificationReport) throws(StoreError) -> Void
  ) throws(StoreError) {
    do throws(StoreError) {
      try body(&report)
    } catch {
      guard error.code == .corrupt else { throw error }
      report.damage.append(error)
    }
  }

  /// The slabs of one session, some hundred a snapshot; the session may be committed to meanwhile.
  ///
  /// - Returns: whether it is known to be ephemeral.
  private func verify(
    session key: [UInt8], _ report: inout VerificationReport, _ progress: ((Int, Int) -> Void)?
  ) throws(StoreError) -> Bool {
    let name = String(decoding: key, as: UTF8.self)
    let record: SessionRecord
    do throws(StoreError) {
      report.records += 1
      record = try environment.read { view throws(StoreError) in try self.record(name, view) }
    } catch {
      if error.code == .notFound { return false }  // deleted meanwhile
      report.damage.append(error)
      return false
    }
    let isEphemeral = record.configuration.ephemeral
    let plan = try SessionPlan(record)
    for layer in plan.layers.indices {
      var expected: [RowKey] = []
      let stored = StoredLayer(record: record, plan: plan.layers[layer], layer: layer)
      try stored.forEachSlab { expected.append($0.header.key) }
      var checked = 0
      while checked < expected.count {
        let end = try environment.read { view throws(StoreError) -> Int? in
          guard let now = try? self.record(name, view), now.rows == record.rows else { return nil }
          let current = StoredLayer(record: now, plan: plan.layers[layer], layer: layer)
          var next = checked
          while next < min(checked + 256, expected.count) {
            let goesOn = try check(expected[next], current, view, &report)
            next += 1
            if !goesOn { break }
          }
          return next
        }
        // Deleted meanwhile, or its rows are somewhere else now.
        guard let end else { return try verify(session: key, &report, progress) }
        checked = end
        progress?(report.records, report.bytes)
      }
      try verifyFrames(name, record, stored, &report)
    }
    return isEphemeral
  }

  /// - Returns: whether the snapshot can still be used: LMDB refuses everything in one in which it has met a damaged page.
  private func check(
    _ key: RowKey, _ layer: StoredLayer, _ view: borrowing ReadTransaction, _ report: inout VerificationReport
  ) throws(StoreError) -> Bool {
    let expected: StoredLayer.Expectation
    switch key.kind {
    case .kept: expected = layer.kept(key.index, group: key.group)
    case .archive, .coldKept: expected = layer.stream(key.kind, key.index)
    case .blocks:
      guard let blocks = layer.plan.blocks else { return true }
      expected = layer.blocks(key.index, blocks)
    case .window:
      let (p, i) = key.index.quotientAndRemainder(dividingBy: layer.plan.slabsPerPartition)
      guard layer.plan.window(layer.record.tokens).contains(p) else { return true }  // compressed meanwhile
      expected = layer.window(p, i, group: key.group)
    }
    report.records += 1
    report.bytes += SlabShape.storedBytes
    do throws(StoreError) {
      let value = try layer.slab(expected, view, validated, fully: true)
      if key.kind == .kept { try checkPositions(expected, value, layer) }
      if key.kind == .blocks { try checkBlocks(expected, value, layer) }
      return true
    } catch {
      guard error.code == .corrupt else { throw error }
      report.damage.append(error.named(layer.record.configuration.name))
      return error.systemCode == nil
    }
  }

  /// Positions ascend and are those of sinks or of the row's own partition.
  private func checkPositions(
    _ expected: StoredLayer.Expectation, _ value: UnsafeRawPointer, _ layer: StoredLayer
  ) throws(StoreError) {
    let plan = layer.plan
    let header = expected.header
    let slab = SlabView(value: value, shape: plan.shape, heads: header.heads)
    for head in header.heads {
      let positions = slab.positions(head)
      for i in 0..<header.count {
        let row = header.first + i
        let position = Int(positions[i])
        var allowed = row..<row + 1
        if row >= plan.sinks {
          let start = plan.partitionStart((row - plan.sinks) / plan.kept)
          allowed = start..<start + plan.lag
        }
        guard allowed.contains(position), i == 0 || positions[i - 1] < positions[i] else {
          throw layer.damage(
            expected, "row \(row) of head \(head) claims to be token \(position)", validated)
        }
      }
    }
  }

  /// Positions of blocks ascend and are those of their partition.
  private func checkBlocks(
    _ expected: StoredLayer.Expectation, _ value: UnsafeRawPointer, _ layer: StoredLayer
  ) throws(StoreError) {
    guard let blocks = layer.plan.blocks else { return }
    for i in 0..<expected.header.count {
      let block = blocks.block(expected.header.first + i)
      let positions = blocks.place(i, of: value, block).positions
      let start = layer.plan.partitionStart(block.partition)
      for row in 0..<block.rows {
        let position = Int(positions[row])
        guard (start..<start + layer.plan.lag).contains(position),
          row == 0 || positions[row - 1] < positions[row]
        else {
          throw layer.damage(
            expected,
            "row \(block.firstRow + row) of head \(block.head) in partition \(block.partition) claims to be token \(position)",
            validated)
        }
      }
    }
  }

  private func verifyFrames(
    _ name: String, _ record: SessionRecord, _ stored: StoredLayer, _ report: inout VerificationReport
  ) throws(StoreError) {
    let plan = stored.plan
    let kinds: [(RowKind, Int)] = [
      (.coldKept, plan.hasColdFrames ? plan.kept : 0), (.archive, plan.archive ? plan.lag : 0),
    ]
    for (kind, rows) in kinds where rows > 0 {
      let decoder = FrameDecoder()
      for number in 0..<plan.scored(record.tokens) {
        do throws(StoreError) {
          let goOn = try environment.read { view throws(StoreError) in
            guard let now = try? self.record(name, view), now.rows == record.rows else { return false }
            let source = LayerRows(
              stored: StoredLayer(record: now, plan: plan, layer: stored.layer), staged: nil,
              validated: validated, decoder: decoder)
            _ = try decoder.frame(kind, number, rows: rows, source, view)
            return true
          }
          if !goOn { return }
          report.records += 1
        } catch {
          guard error.code == .corrupt else { throw error }
          report.damage.append(error)
        }
      }
    }
  }

  /// Every slab's extent is a session's or a deleted one's.
  private func verifyOwners(_ report: inout VerificationReport) throws(StoreError) {
    try environment.read { view throws(StoreError) in
      let damagedTombstone = StoreError(.corrupt, "a deleted session's record is damaged")
      _ = try Tombstone.all(view) { report.damage.append(damagedTombstone) }
      let owners = try Self.owners(view)
      let strangers = try Self.extents(view).filter { !owners.extents.contains($0) }
      for extent in strangers {
        report.damage.append(
          StoreError(.corrupt, "extent \(extent) belongs to no session whose record can be read"))
      }
    }
  }
}
