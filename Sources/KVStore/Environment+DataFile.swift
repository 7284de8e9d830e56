import CLMDB
import Glibc

// The data file: made whole or not at all, refused where it was emptied, as long as its pages claim.

extension Environment {
  /// Sees to it that LMDB finds a data file that was begun: an empty one it would take for a new one, and every session of a
  /// store whose file something emptied would be gone without a word. A crash while a store is made does not leave an empty
  /// file: a new one is begun under another name and flushed before it gets its own.
  ///
  /// - Throws: `corrupt` for an empty file.
  static func prepareDataFile(in folder: String, readOnly: Bool) throws(StoreError) {
    let file = "\(folder)/\(StoreFolder.dataFile)"
    var info = stat()
    if stat(file, &info) != 0 {
      guard errno == ENOENT, !readOnly else { throw failure(errno, "cannot read \(file)") }
      return try makeDataFile(file, in: folder)
    }
    guard info.st_size > 0 else {
      throw StoreError(
        .corrupt,
        "\(file) has 0 bytes: something emptied it. Restore it from a copy, or remove it to begin a new store"
      )
    }
  }

  private static func makeDataFile(_ file: String, in folder: String) throws(StoreError) {
    let unfinished = file + ".new"
    guard unlink(unfinished) == 0 || errno == ENOENT else {
      throw failure(errno, "cannot remove \(unfinished), which an interrupted start left")
    }
    var environment: OpaquePointer?
    try check(mdb_env_create(&environment), "cannot make an LMDB environment")
    var code = mdb_env_open(environment, unfinished, UInt32(MDB_NOSUBDIR | MDB_NOLOCK), 0o600)
    if code == MDB_SUCCESS { code = mdb_env_sync(environment, 1) }
    mdb_env_close(environment)
    try check(code, "cannot make \(unfinished)")
    guard rename(unfinished, file) == 0 else { throw failure(errno, "cannot make \(file)") }
    // The name shall outlive a power cut as well.
    let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure(errno, "cannot open \(folder)") }
    defer { Glibc.close(descriptor) }
    guard fsync(descriptor) == 0 else { throw failure(errno, "cannot flush \(folder)") }
  }

  /// Sees to it that the file is as long as its pages claim, before any of them is read: beyond its end a read is a SIGBUS
  /// and not an error. A few pages may be missing at the end of a good file, since LMDB does not write pages that a
  /// transaction took and gave up again; they are filled with zeros, which no page of a tree is. More, and it was cut short.
  static func complete(_ environment: OpaquePointer, _ folder: String, readOnly: Bool)
    throws(StoreError)
  {
    let expected = pages(environment) * SlabShape.pageBytes
    let file = "\(folder)/\(StoreFolder.dataFile)"
    let bytes = StoreFolder.size(of: file)
    guard bytes < expected, bytes > 0 else { return }
    guard expected - bytes <= 1 << 20, !readOnly else {
      throw StoreError(
        .corrupt,
        "the data file has \(bytes) bytes, and its pages reach to byte \(expected): it was cut short"
          + (readOnly ? ", or the daemon died at a bad moment: then starting it once helps" : ""))
    }
    guard truncate(file, off_t(expected)) == 0 else { throw failure(errno, "cannot complete \(file)") }
  }
}
