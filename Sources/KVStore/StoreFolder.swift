import Glibc
import Synchronization

/// A store's folder, locked: exclusively by the daemon, shared by offline tools.
final class StoreFolder: Sendable {
  let path: String
  /// The descriptor that holds the lock; -1 once it is given back.
  private let lock: Mutex<Int32>

  static let dataFile = "data.mdb"
  static let lockFile = "lagoon.lock"

  /// Makes the folder (mode 0700) and its lock file (0600) where they are missing, unless `readOnly`, and takes the lock.
  ///
  /// - Throws: `locked` where another process has it, `notFound` where there is no store to read or no folder to make one in.
  init(path: String, readOnly: Bool) throws(StoreError) {
    if !readOnly, mkdir(path, 0o700) != 0, errno != EEXIST {
      let what = "cannot make the store's folder \(path)"
      guard errno == ENOENT, let missing = Self.missingParent(of: path) else { throw Self.failure(what) }
      throw StoreError(.notFound, "\(what): there is no \(missing); make it first", systemCode: ENOENT)
    }
    var info = stat()
    guard stat(path, &info) == 0 else { throw Self.failure("there is no store at \(path)") }
    guard info.st_mode & S_IFMT == S_IFDIR else {
      throw StoreError(.invalidArgument, "\(path) is not a folder", systemCode: ENOTDIR)
    }
    if readOnly, access("\(path)/\(Self.dataFile)", R_OK) != 0 {
      throw Self.failure("there is no store at \(path)")
    }
    let flags = readOnly ? O_RDONLY | O_CLOEXEC : O_RDWR | O_CREAT | O_CLOEXEC
    let descriptor = open("\(path)/\(Self.lockFile)", flags, 0o600)
    guard descriptor >= 0 else { throw Self.failure("cannot open \(path)/\(Self.lockFile)") }
    while flock(descriptor, (readOnly ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0 {
      let code = errno
      if code == EINTR { continue }
      close(descriptor)
      if code == EWOULDBLOCK {
        throw StoreError(
          .locked,
          readOnly
            ? "the store at \(path) is in use by a daemon: ask the daemon instead"
            : "the store at \(path) is in use by another process",
          systemCode: code)
      }
      throw StoreError(.internal, "cannot lock \(path)/\(Self.lockFile)", systemCode: code)
    }
    self.path = path
    lock = Mutex(descriptor)
  }

  /// The first folder on the way to `path` that is missing.
  private static func missingParent(of path: String) -> String? {
    path.indices.lazy.filter { path[$0] == "/" && $0 != path.startIndex }
      .map { String(path[..<$0]) }
      .first { access($0, F_OK) != 0 }
  }

  deinit { unlock() }

  /// Gives the lock back. Does nothing the second time.
  func unlock() {
    lock.withLock { descriptor in
      if descriptor >= 0 { close(descriptor) }
      descriptor = -1
    }
  }

  /// Size of the data file; 0 where there is none.
  var dataFileBytes: Int { Self.size(of: "\(path)/\(Self.dataFile)") }

  static func size(of file: String) -> Int {
    var info = stat()
    return stat(file, &info) == 0 ? Int(info.st_size) : 0
  }

  /// Bytes that the file system of `path` still has for this user.
  static func freeBytes(at path: String) -> Int {
    var info = statvfs()
    guard statvfs(path, &info) == 0 else { return .max }
    return Int(info.f_bavail) * Int(info.f_frsize)
  }

  private static func failure(_ what: String) -> StoreError {
    let code = errno
    let kind: StoreError.Code =
      switch code {
      case ENOENT: .notFound
      case ENOSPC, EDQUOT: .diskFull
      default: .invalidArgument
      }
    return StoreError(kind, "\(what): \(String(cString: strerror(code)))", systemCode: code)
  }
}
