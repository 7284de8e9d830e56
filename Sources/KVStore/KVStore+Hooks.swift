/// What tests need to bring about on purpose.
extension KVStore {
  /// Runs `body` while the writer thread is busy, so that what `body` has queued goes into one group.
  package func withWriterHeld(_ body: () throws -> Void) throws {
    let writer = try writer()
    let stage = Monitor(0)
    let holder = try OSThread {
      let job = WriteJob(cost: WriteCost()) { _ in
        stage.withLock(notify: true) { $0 = max($0, 1) }
        _ = stage.wait { $0 == 2 ? true : nil }
      }
      try? writer.submit(job)
    }
    _ = stage.wait { $0 >= 1 ? true : nil }
    defer {
      stage.withLock(notify: true) { $0 = 2 }
      holder.join()
    }
    try body()
  }

  /// Changes that wait for the writer thread.
  package var queuedWrites: Int { writerIfAny?.queued ?? 0 }

  /// Runs `body` while a reader holds the snapshot of now.
  package func withSnapshotHeld(_ body: () throws -> Void) throws {
    var failure: (any Error)?
    try environment.read { _ throws(StoreError) in
      do { try body() } catch { failure = error }
    }
    if let failure { throw failure }
  }
}
