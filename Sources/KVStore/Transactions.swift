import CLMDB

/// A snapshot of the store. Scoped: `Environment.read` makes it and ends it.
///
/// The pointer and every buffer that it hands out are valid inside that scope only; `~Copyable` and borrowed, so that
/// it cannot be kept.
struct ReadTransaction: ~Copyable {
  private let pointer: OpaquePointer
  private let databases: DatabaseHandles

  init(_ pointer: OpaquePointer, _ databases: DatabaseHandles) {
    self.pointer = pointer
    self.databases = databases
  }

  /// The number of the transaction that this snapshot shows.
  var id: UInt64 { UInt64(mdb_txn_id(pointer)) }

  /// A value, in the map; nil where there is none.
  func get(_ database: Database, _ key: [UInt8]) throws(StoreError) -> UnsafeRawBufferPointer? {
    var key = key
    var value = MDB_val()
    let code = key.withUnsafeMutableBytes { bytes in
      var name = MDB_val(mv_size: bytes.count, mv_data: bytes.baseAddress)
      return mdb_get(pointer, databases[database], &name, &value)
    }
    return try found(code, value)
  }

  /// The value of a record of rows, in the map; nil where there is none or its size is not a slab's.
  func slab(_ key: RowKey) throws(StoreError) -> UnsafeRawPointer? {
    var value = MDB_val()
    let code = key.withBytes { mdb_get(pointer, databases[.rows], &$0, &value) }
    guard let bytes = try found(code, value), bytes.count == SlabShape.valueBytes else { return nil }
    return bytes.baseAddress
  }

  private func found(_ code: Int32, _ value: MDB_val) throws(StoreError) -> UnsafeRawBufferPointer? {
    if code == MDB_NOTFOUND { return nil }
    try Environment.check(code, "cannot read a record")
    return UnsafeRawBufferPointer(start: value.mv_data, count: value.mv_size)
  }

  /// Calls `body` with each record whose key is `start` or higher, in order, until it gives false.
  func forEach(
    _ database: Database, from start: [UInt8] = [],
    _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws(StoreError) -> Bool
  ) throws(StoreError) {
    var opened: OpaquePointer?
    try Environment.check(
      mdb_cursor_open(pointer, databases[database], &opened), "cannot walk the database")
    guard let cursor = opened else { return }
    defer { mdb_cursor_close(cursor) }
    var key = MDB_val()
    var value = MDB_val()
    var first = start
    var code = first.withUnsafeMutableBytes { bytes in
      key = MDB_val(mv_size: bytes.count, mv_data: bytes.baseAddress)
      return mdb_cursor_get(cursor, &key, &value, bytes.isEmpty ? MDB_FIRST : MDB_SET_RANGE)
    }
    while code == MDB_SUCCESS {
      let goOn = try body(
        UnsafeRawBufferPointer(start: key.mv_data, count: key.mv_size),
        UnsafeRawBufferPointer(start: value.mv_data, count: value.mv_size))
      if !goOn { return }
      code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)
    }
    if code != MDB_NOTFOUND { throw Environment.failure(code, "cannot walk the database") }
  }

  /// Pages and entries of a database.
  func size(_ database: Database) -> (treePages: Int, overflowPages: Int, entries: Int) {
    size(databases[database])
  }

  /// Pages of LMDB's own two trees (names and free list).
  var internalPages: Int {
    let names = size(MDB_dbi(1))
    let free = size(MDB_dbi(0))
    return names.treePages + free.treePages + free.overflowPages
  }

  private func size(_ database: MDB_dbi) -> (treePages: Int, overflowPages: Int, entries: Int) {
    var info = MDB_stat()
    guard mdb_stat(pointer, database, &info) == MDB_SUCCESS else { return (0, 0, 0) }
    return (
      Int(info.ms_branch_pages) + Int(info.ms_leaf_pages), Int(info.ms_overflow_pages), Int(info.ms_entries)
    )
  }
}

/// A write transaction. Scoped: `Environment.write` makes, commits or aborts it, all on one OS thread.
struct WriteTransaction: ~Copyable {
  private let pointer: OpaquePointer
  private let databases: DatabaseHandles
  /// What the transaction would read, its own writes included.
  let view: ReadTransaction

  init(_ pointer: OpaquePointer, _ databases: DatabaseHandles) {
    self.pointer = pointer
    self.databases = databases
    view = ReadTransaction(pointer, databases)
  }

  /// - Parameter unlessThere: leave a present value as it is.
  /// - Returns: false where `unlessThere` and there was a value.
  @discardableResult
  func put(
    _ database: Database, _ key: [UInt8], _ value: [UInt8], unlessThere: Bool = false
  ) throws(StoreError) -> Bool {
    var key = key
    var value = value
    let code = key.withUnsafeMutableBytes { keyBytes in
      value.withUnsafeMutableBytes { valueBytes in
        var name = MDB_val(mv_size: keyBytes.count, mv_data: keyBytes.baseAddress)
        var data = MDB_val(mv_size: valueBytes.count, mv_data: valueBytes.baseAddress)
        return mdb_put(
          pointer, databases[database], &name, &data, unlessThere ? UInt32(MDB_NOOVERWRITE) : 0)
      }
    }
    if unlessThere, code == MDB_KEYEXIST { return false }
    try Environment.check(code, "cannot write a record")
    return true
  }

  /// - Parameter value: `SlabShape.valueBytes` bytes; copied.
  func putSlab(_ key: RowKey, _ value: UnsafeRawPointer) throws(StoreError) {
    var data = MDB_val(mv_size: SlabShape.valueBytes, mv_data: UnsafeMutableRawPointer(mutating: value))
    let code = key.withBytes { mdb_put(pointer, databases[.rows], &$0, &data, 0) }
    try Environment.check(code, "cannot write a slab")
  }

  /// - Returns: false where there was none.
  @discardableResult
  func deleteSlab(_ key: RowKey) throws(StoreError) -> Bool {
    let code = key.withBytes { mdb_del(pointer, databases[.rows], &$0, nil) }
    if code == MDB_NOTFOUND { return false }
    try Environment.check(code, "cannot delete a slab")
    return true
  }

  func delete(_ database: Database, _ key: [UInt8]) throws(StoreError) {
    var key = key
    let code = key.withUnsafeMutableBytes { bytes in
      var name = MDB_val(mv_size: bytes.count, mv_data: bytes.baseAddress)
      return mdb_del(pointer, databases[database], &name, nil)
    }
    if code != MDB_NOTFOUND { try Environment.check(code, "cannot delete a record") }
  }

  /// Deletes at most `limit` records of rows of `extent`, in order of their keys.
  ///
  /// - Returns: how many there were; fewer than `limit`: none is left.
  func deleteRows(of extent: UInt64, limit: Int) throws(StoreError) -> Int {
    var opened: OpaquePointer?
    try Environment.check(
      mdb_cursor_open(pointer, databases[.rows], &opened), "cannot walk the rows")
    guard let cursor = opened else { return 0 }
    defer { mdb_cursor_close(cursor) }
    var start = RowKey.start(of: extent)
    let prefix = Array(start[0..<8])
    var key = MDB_val()
    var value = MDB_val()
    var code = start.withUnsafeMutableBytes { bytes in
      key = MDB_val(mv_size: bytes.count, mv_data: bytes.baseAddress)
      return mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE)
    }
    var deleted = 0
    while code == MDB_SUCCESS, deleted < limit {
      guard UnsafeRawBufferPointer(start: key.mv_data, count: key.mv_size).starts(with: prefix) else {
        return deleted
      }
      try Environment.check(mdb_cursor_del(cursor, 0), "cannot delete a slab")
      deleted += 1
      // After a deletion the cursor stands at the next record already, and MDB_NEXT knows.
      code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)
    }
    if code != MDB_SUCCESS, code != MDB_NOTFOUND { throw Environment.failure(code, "cannot walk the rows") }
    return deleted
  }
}
