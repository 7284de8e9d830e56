import LagKV
import SparseAttention

/// What tests need to bring about on purpose, or to see.
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

  /// Recodes a session as its age would.
  ///
  /// - Parameter goesOn: called between steps; false: give up.
  /// - Returns: false where it was given up.
  package func recode(_ name: String, to codec: Codec, goesOn: @escaping () -> Bool = { true })
    throws(StoreError) -> Bool
  {
    try Recoding.run(self, name, to: codec, goesOn: goesOn)
  }

  /// Leaves a recoding behind, as one does whose end could not be written.
  package func leaveRecoding() throws { _ = try beginRecoding() }

  /// What the thread that watches the sessions' ages does now and then.
  package func lookAtAges() { ageingIfAny?.lookThrough(self) }

  /// Changes that wait for the writer thread.
  package var queuedWrites: Int { writerIfAny?.queued ?? 0 }

  /// Slabs that are remembered as checked, with room for those between them.
  package var rememberedSlabs: Int { validated.count }

  /// Staging buffers that nobody uses and that have not been given back to the system.
  package var freeStagingBuffers: Int { slabPool.count }

  /// Pages in use as LMDB counts them, all databases and its own trees included.
  package var usedPages: Int {
    (try? environment.read { view throws(StoreError) in Ledger.Usage(view).pages }) ?? 0
  }

  /// Runs `body` while a reader holds the snapshot of now.
  package func withSnapshotHeld(_ body: () throws -> Void) throws {
    var failure: (any Error)?
    try environment.read { _ throws(StoreError) in
      do { try body() } catch { failure = error }
    }
    if let failure { throw failure }
  }
}

extension Session {
  /// Where the keys and values lie that attention over the committed rows of a layer reads, a head's run or block at a time.
  package func attendedMemory(layer: Int) throws(StoreError) -> [UnsafeRawBufferPointer] {
    let places = RunPlaces(plan.shape)
    _ = try scan(nil, layer: layer, decoder: FrameDecoder(), into: places)
    return places.found
  }

  private final class RunPlaces: RowVisitor {
    let rowBytes: Int
    let headDim: Int
    var found: [UnsafeRawBufferPointer] = []

    init(_ shape: SlabShape) {
      rowBytes = shape.rowBytes
      headDim = shape.headDim
    }

    func add(_ blocks: [EightBitBlock], pool: WorkerPool?) {
      for block in blocks {
        let bytes = EightBitBlock.byteCount(rows: block.rows, headDim: headDim)
        found.append(UnsafeRawBufferPointer(start: block.bytes, count: bytes))
      }
    }

    func add(_ runs: [RowRun], of place: RowPlace, _ type: ElementType, causal: Bool, pool: WorkerPool?) {
      for run in runs {
        for head in run.heads {
          let one = run.head(head)
          for rows in [one.keys, one.values] {
            found.append(UnsafeRawBufferPointer(start: rows, count: run.count * rowBytes))
          }
        }
      }
    }
  }
}
