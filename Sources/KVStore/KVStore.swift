import Glibc
import SparseAttention
import Synchronization

/// A store of compressed KV caches in one LMDB environment. docs/format.md has its bytes, docs/concurrency.md its rules.
///
/// Any thread may call anything. Reads run on the calling thread, on snapshots; every change is done by one writer
/// thread, and the calling thread waits for it.
public final class KVStore: Sendable {
  public let options: StoreOptions
  public let isReadOnly: Bool

  private let folder: StoreFolder
  let environment: Environment
  /// nil in a store that is open for reading only.
  private let writerThread: Writer?
  private let ageing: Ageing?
  let validated = ValidatedSlabs()
  let slabPool = SlabPool()
  let staging: StagingAccount
  let book = Monitor(Book())
  let uses = SessionUses()

  /// What the store knows in memory alone.
  struct Book: Sendable {
    var isClosed = false
    /// Extents whose session has a writer or is being deleted.
    var written: Set<UInt64> = []
    /// How many overlays stand on a session, by its extent.
    var pinned: [UInt64: Int] = [:]
    /// Some session's rows are being written anew.
    var isRecoding = false
    /// The extent of the session whose rows change their place just now.
    var switching: UInt64?
    var commits = 0
    var committedTokens = 0

    /// A writer or an overlay keeps the session's rows where they are.
    func isHeld(_ extent: UInt64) -> Bool { written.contains(extent) || pinned[extent] != nil }
  }

  /// Opens the store in the folder `path`, making it where there is none, for this process alone.
  ///
  /// - Throws: `locked` while another process has it, `incompatible`, `unclean` where a crash of the machine damaged it,
  ///   `quotaExceeded` where it holds more than `options.quotaBytes`, `invalidArgument` for impossible options.
  public init(path: String, options: StoreOptions) throws(StoreError) {
    guard (8 << 20...StoreOptions.largestQuota).contains(options.quotaBytes) else {
      throw StoreError(
        .invalidArgument, "a quota of \(options.quotaBytes) bytes; it must be between 8 MiB and 64 TiB")
    }
    guard (1...65_536).contains(options.connections) else {
      throw StoreError(.invalidArgument, "\(options.connections) connections; allowed are 1 to 65,536")
    }
    let folder = try StoreFolder(path: path, readOnly: false)
    let environment = try Environment(
      folder: path, readOnly: false,
      mapBytes: max(
        options.quotaBytes + options.quotaBytes / 16 + 256 << 20, folder.dataFileBytes + 64 << 20)
        & ~(SlabShape.pageBytes - 1),
      durability: options.durability,
      maxReaders: options.connections + (options.pool?.threads ?? 0) + 16)
    var previous: Format.Marker?
    var ledger: Ledger?
    var tombstones = 0
    let boot = options.bootOrSystems
    do throws(StoreError) {
      try environment.write { transaction throws(StoreError) in
        if try Format.check(transaction.view) {
          previous = try Format.marker(transaction.view)
        } else {
          try Format.initialise(transaction)
        }
        let usage = Ledger.Usage(transaction.view)
        ledger = Ledger(quotaBytes: options.quotaBytes, usage: usage)
        let used = usage.pages * SlabShape.pageBytes
        guard used <= options.quotaBytes else {
          throw StoreError(
            .quotaExceeded,
            "the store at \(path) holds \(used) bytes, more than the quota of \(options.quotaBytes): start with a"
              + " larger quota")
        }
        try Self.buryRecoding(transaction)
        tombstones = transaction.view.size(.tombstones).entries
        // A store that a crash may have damaged stays marked so until it has been checked.
        let doubtful = previous?.mayBeDamaged(now: boot) ?? false
        let marker = Format.Marker(
          isClean: false, durability: doubtful ? .process : options.durability,
          boot: doubtful ? previous?.boot ?? boot : boot)
        try Format.put(marker, transaction)
      }
      try environment.sync()
    } catch {
      environment.close()
      throw error
    }
    let writer = Writer(
      environment: environment,
      ledger: ledger ?? Ledger(quotaBytes: options.quotaBytes, usage: .init()),
      hasTombstones: tombstones > 0, readerLagLimit: options.readerLagLimit, slabPool: slabPool)
    self.options = options
    self.folder = folder
    self.environment = environment
    isReadOnly = false
    writerThread = writer
    staging = StagingAccount(cap: options.stagedBytesTotal)
    ageing = options.coldAfterSeconds.map { Ageing(coldAfterSeconds: $0) }
    do throws(StoreError) {
      try writer.start()
    } catch {
      // From here on `deinit` runs when this throws: it must find the store closed.
      book.withLock { $0.isClosed = true }
      environment.close()
      throw error
    }
    if previous?.mayBeDamaged(now: boot) ?? false {
      do throws(StoreError) {
        try checkAfterCrash(boot)
      } catch {
        // `deinit` must not mark the store clean: what could not be checked stays in doubt.
        book.withLock { $0.isClosed = true }
        writer.stop()
        environment.close()
        throw error
      }
    }
    try endEphemeral(writer)
    try ageing?.start(self)
  }

  /// Opens a store that no daemon serves, for reading alone; several processes may.
  ///
  /// - Throws: `locked` while a daemon has it, `notFound`, `incompatible`.
  public static func openReadOnly(path: String) throws(StoreError) -> KVStore {
    try KVStore(readOnly: path)
  }

  private init(readOnly path: String) throws(StoreError) {
    let folder = try StoreFolder(path: path, readOnly: true)
    let environment = try Environment(
      folder: path, readOnly: true, mapBytes: 0, durability: .process, maxReaders: 0)
    do throws(StoreError) {
      let known = try environment.read { view throws(StoreError) in try Format.check(view) }
      guard known else { throw StoreError(.incompatible, "\(path) is not a Lagoon store") }
    } catch {
      environment.close()
      throw error
    }
    var options = StoreOptions()
    options.quotaBytes = folder.dataFileBytes
    self.options = options
    self.folder = folder
    self.environment = environment
    isReadOnly = true
    writerThread = nil
    ageing = nil
    staging = StagingAccount(cap: options.stagedBytesTotal)
  }

  deinit { try? close() }

  /// Commits what is queued, ends ephemeral sessions, flushes, ends the writer thread and frees the folder for another
  /// process. Later calls throw `closed`; calling it again does nothing.
  public func close() throws(StoreError) {
    let first = book.withLock { book in
      defer { book.isClosed = true }
      return !book.isClosed
    }
    guard first else { return }
    var failure: StoreError?
    ageing?.stop()
    if let writer = writerThread {
      // Should this fail, the next opening does it.
      try? endEphemeral(writer)
      writer.stop()
      do throws(StoreError) {
        // The marker becomes clean only once everything else is on disk. The writer thread has ended: this one may write.
        try environment.sync()
        try environment.write { transaction throws(StoreError) in
          try Format.put(
            Format.Marker(isClean: true, durability: options.durability, boot: options.bootOrSystems),
            transaction)
        }
        try environment.sync()
      } catch { failure = error }
    }
    environment.close(completing: !isReadOnly)
    folder.unlock()
    if let failure { throw failure }
  }

  /// Flushes everything to disk, whatever the durability.
  public func sync() throws(StoreError) {
    try checkOpen()
    // A reader's ticket keeps the environment from being closed meanwhile.
    try environment.read { _ throws(StoreError) in
      if !isReadOnly { try environment.sync() }
    }
  }
}

extension KVStore {
  func checkOpen() throws(StoreError) {
    if book.withLock({ $0.isClosed }) { throw StoreError(.closed, "the store is closed") }
  }

  /// - Throws: `closed`, or `invalidArgument` in a store that is open for reading alone.
  func writer() throws(StoreError) -> Writer {
    try checkOpen()
    guard let writerThread else {
      throw StoreError(.invalidArgument, "the store is open for reading alone")
    }
    return writerThread
  }

  var writerIfAny: Writer? { writerThread }
  var ageingIfAny: Ageing? { ageing }

  /// A scratch file beside the data; what it reserves counts in the quota.
  ///
  /// - Throws: `diskFull`, `tooLarge`, `internal`, `closed`.
  func scratch(bytes: Int, for session: String) throws(StoreError) -> GradientScratch {
    try GradientScratch(folder: folder.path, bytes: max(1, bytes), writer: try writer(), session: session)
  }

  var dataFileBytes: Int { folder.dataFileBytes }

  private func checkAfterCrash(_ boot: String) throws(StoreError) {
    let report = try verify(nil, ignoringEphemeral: true)
    if let damage = report.damage.first {
      throw StoreError(
        .unclean,
        "the machine went down while this store was open with durability \"process\", and \(report.damage.count)"
          + " records are damaged, the first: \(damage)", session: damage.session, layer: damage.layer,
        partition: damage.partition)
    }
    let marker = Format.Marker(isClean: false, durability: options.durability, boot: boot)
    try writer().submit(
      WriteJob(cost: WriteCost(records: 1), usesReserve: true) { transaction throws(StoreError) in
        try Format.put(marker, transaction)
      })
    try environment.sync()
  }
}
