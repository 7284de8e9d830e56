import CLMDB
import Glibc
import Synchronization

/// The named databases of a store.
enum Database: CaseIterable, Sendable {
  case meta, sessions, rows, tombstones

  var name: String {
    switch self {
    case .meta: "meta"
    case .sessions: "sessions"
    case .rows: "rows"
    case .tombstones: "tombstones"
    }
  }
}

/// LMDB's numbers of the named databases.
struct DatabaseHandles: Sendable {
  private var meta: MDB_dbi = 0
  private var sessions: MDB_dbi = 0
  private var rows: MDB_dbi = 0
  private var tombstones: MDB_dbi = 0

  subscript(database: Database) -> MDB_dbi {
    get {
      switch database {
      case .meta: meta
      case .sessions: sessions
      case .rows: rows
      case .tombstones: tombstones
      }
    }
    set {
      switch database {
      case .meta: meta = newValue
      case .sessions: sessions = newValue
      case .rows: rows = newValue
      case .tombstones: tombstones = newValue
      }
    }
  }
}

/// An open LMDB environment: the only owner of its handle, its database handles and its pooled read transactions.
final class Environment: Sendable {
  /// `nonisolated(unsafe)`: an `MDB_env` may be used from any thread, and the pointer never changes. It is freed in `close`,
  /// after which `readers` lets nobody in and the writer thread has ended.
  nonisolated(unsafe) private let handle: OpaquePointer
  private let databases: DatabaseHandles
  /// Reset read transactions, ready to be renewed.
  private let idle = Mutex<[IdleTransaction]>([])
  let readers: ReaderRegistry
  private let folder: String

  /// `@unchecked Sendable`: with `MDB_NOTLS` a read transaction is not bound to a thread, and whoever takes one out of
  /// `idle` is the only one who has it.
  private struct IdleTransaction: @unchecked Sendable { let pointer: OpaquePointer }

  /// Opens `folder`/data.mdb, making it (mode 0600) where it is missing, unless `readOnly`.
  init(folder: String, readOnly: Bool, mapBytes: Int, durability: Durability, maxReaders: Int)
    throws(StoreError)
  {
    try Self.prepareDataFile(in: folder, readOnly: readOnly)
    var environment: OpaquePointer?
    try Self.check(mdb_env_create(&environment), "cannot make an LMDB environment")
    guard let environment else { throw StoreError(.internal, "LMDB made no environment") }
    var flags = UInt32(MDB_NOTLS)
    if readOnly {
      flags |= UInt32(MDB_RDONLY | MDB_NOLOCK)
    } else {
      switch durability {
      case .process: flags |= UInt32(MDB_NOSYNC)
      case .ordered: flags |= UInt32(MDB_NOMETASYNC)
      case .full: break
      }
    }
    do throws(StoreError) {
      try Self.check(mdb_env_set_maxdbs(environment, 8), "maxdbs")
      if !readOnly {
        try Self.check(mdb_env_set_maxreaders(environment, UInt32(maxReaders)), "maxreaders")
        try Self.check(mdb_env_set_mapsize(environment, mapBytes), "cannot set the map size to \(mapBytes)")
      }
      try Self.check(mdb_env_open(environment, folder, flags, 0o600), "cannot open \(folder)/data.mdb")
      try Self.complete(environment, folder, readOnly: readOnly)
      databases = try Self.openDatabases(environment, readOnly: readOnly)
    } catch {
      mdb_env_close(environment)
      throw error
    }
    handle = environment
    self.folder = folder
    var info = MDB_envinfo()
    mdb_env_info(environment, &info)
    readers = ReaderRegistry(lastTransaction: UInt64(info.me_last_txnid))
  }

  /// Pages of the data file up to the last one ever used, as of the last transaction.
  var filePages: Int { Self.pages(handle) }

  static func pages(_ environment: OpaquePointer) -> Int {
    var info = MDB_envinfo()
    mdb_env_info(environment, &info)
    return Int(info.me_last_pgno) + 1
  }

  private static func openDatabases(_ environment: OpaquePointer, readOnly: Bool) throws(StoreError)
    -> DatabaseHandles
  {
    var transaction: OpaquePointer?
    try check(
      mdb_txn_begin(environment, nil, readOnly ? UInt32(MDB_RDONLY) : 0, &transaction), "first transaction")
    var handles = DatabaseHandles()
    for database in Database.allCases {
      var handle: MDB_dbi = 0
      let code = mdb_dbi_open(transaction, database.name, readOnly ? 0 : UInt32(MDB_CREATE), &handle)
      guard code == MDB_SUCCESS else {
        mdb_txn_abort(transaction)
        throw code == MDB_NOTFOUND
          ? StoreError(.incompatible, "not a Lagoon store: it has no database \"\(database.name)\"")
          : failure(code, "cannot open the database \"\(database.name)\"")
      }
      handles[database] = handle
    }
    try check(mdb_txn_commit(transaction), "cannot make the databases")
    return handles
  }

  /// Runs `body` on a snapshot and gives what it gives. What `body` sees in the map is valid until it returns; it must not
  /// start another read.
  ///
  /// - Throws: `closed` after `close`, what `body` throws, or LMDB's failure.
  func read<R>(_ body: (borrowing ReadTransaction) throws(StoreError) -> R) throws(StoreError) -> R {
    let ticket = try readers.enter()
    defer { readers.leave(ticket) }
    let pointer = try takeTransaction()
    defer {
      mdb_txn_reset(pointer)
      let pooled = IdleTransaction(pointer: pointer)
      idle.withLock { $0.append(pooled) }
    }
    return try body(ReadTransaction(pointer, databases))
  }

  private func takeTransaction() throws(StoreError) -> OpaquePointer {
    if let pooled = idle.withLock({ $0.popLast() }) {
      let code = mdb_txn_renew(pooled.pointer)
      guard code == MDB_SUCCESS else {
        mdb_txn_abort(pooled.pointer)
        throw Self.failure(code, "cannot renew a read transaction")
      }
      return pooled.pointer
    }
    var fresh: OpaquePointer?
    try Self.check(mdb_txn_begin(handle, nil, UInt32(MDB_RDONLY), &fresh), "cannot begin a read transaction")
    guard let fresh else { throw StoreError(.internal, "LMDB made no transaction") }
    return fresh
  }

  /// Runs `body` in a write transaction and commits it. One OS thread only: the writer's (or the opener's, before it starts).
  ///
  /// - Parameter committing: called just before the commit, when nothing more is written.
  /// - Returns: the transaction's number.
  @discardableResult
  func write(
    _ body: (borrowing WriteTransaction) throws(StoreError) -> Void,
    committing: (borrowing WriteTransaction) -> Void = { _ in }
  ) throws(StoreError) -> UInt64 {
    var begun: OpaquePointer?
    try Self.check(mdb_txn_begin(handle, nil, 0, &begun), "cannot begin a write transaction")
    guard let pointer = begun else { throw StoreError(.internal, "LMDB made no transaction") }
    let id = UInt64(mdb_txn_id(pointer))
    let transaction = WriteTransaction(pointer, databases)
    do throws(StoreError) {
      try body(transaction)
    } catch {
      mdb_txn_abort(pointer)
      throw error
    }
    committing(transaction)
    let code = mdb_txn_commit(pointer)
    // LMDB answers a short write, which is how a file system fills up, with EIO.
    let isFull = code == EIO && StoreFolder.freeBytes(at: folder) < 1 << 20
    try Self.check(isFull ? ENOSPC : code, "cannot commit")
    readers.committed(id)
    return id
  }

  /// Flushes everything to disk.
  func sync() throws(StoreError) { try Self.check(mdb_env_sync(handle, 1), "cannot flush") }

  /// Lets no new reader in, waits for the present ones, and frees everything. Call once, when the writer thread has ended.
  ///
  /// - Parameter completing: make the file as long as its pages claim, for those who will only read it.
  func close(completing: Bool = false) {
    readers.close()
    if completing { try? Self.complete(handle, folder, readOnly: false) }
    let pooled = idle.withLock { transactions in
      defer { transactions = [] }
      return transactions
    }
    for transaction in pooled { mdb_txn_abort(transaction.pointer) }
    mdb_env_close(handle)
  }
}

extension Environment {
  static func check(_ code: Int32, _ what: String) throws(StoreError) {
    if code != MDB_SUCCESS { throw failure(code, what) }
  }

  /// LMDB's or the system's code as a `StoreError`.
  static func failure(_ code: Int32, _ what: String) -> StoreError {
    let text = String(cString: mdb_strerror(code))
    let kind: StoreError.Code
    switch code {
    case MDB_MAP_FULL: kind = .quotaExceeded
    case ENOSPC, EDQUOT, EFBIG: kind = .diskFull
    case MDB_CORRUPTED, MDB_PAGE_NOTFOUND, MDB_INVALID: kind = .corrupt
    case MDB_VERSION_MISMATCH, MDB_INCOMPATIBLE: kind = .incompatible
    case EAGAIN, EBUSY: kind = .locked
    case EACCES, EPERM, EROFS, ENOENT: kind = .invalidArgument
    default: kind = .internal
    }
    return StoreError(kind, "\(what): \(text)", systemCode: code)
  }
}
