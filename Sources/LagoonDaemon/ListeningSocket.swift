import CPosix
import Glibc
import LagoonProtocol

/// The daemon's socket file: made when it begins, removed when it ends.
struct ListeningSocket: ~Copyable, Sendable {
  let path: String
  private let descriptor: Descriptor
  private let identity: Identity

  var number: Int32 { descriptor.number }

  /// Binds and listens at `path`, mode 0600. A missing folder is made with mode 0700. A socket file that nobody answers on
  /// any more is replaced.
  init(at path: String) throws(DaemonError) {
    let limit = lagoon_socket_path_limit()
    guard path.utf8.count <= limit else {
      throw DaemonError(
        .badSocketPath,
        "the socket path has \(path.utf8.count) bytes and a Unix socket's has at most \(limit): \(path)")
    }
    let folder = MissingFolders.parent(of: path)
    try Self.prepareFolder(folder)
    // Two daemons that start at once take turns here, so that neither replaces the other's new socket.
    let lock = try Self.open(folder)
    try Self.takeTurn(lock, folder)
    try Self.removeStale(path)
    let number: Int32
    do throws(SystemError) {
      number = try SystemError.check(lagoon_socket_listen(path, 128))
    } catch {
      throw DaemonError("the socket \(path) cannot be made", error)
    }
    guard let identity = Identity(path) else {
      let cause = SystemError(errno)
      close(number)
      throw DaemonError("the socket \(path) is gone", cause)
    }
    descriptor = Descriptor(owning: number)
    self.path = path
    self.identity = identity
  }

  /// Locks the folder for as long as `lock` is open. Waits for some seconds only: where the folder is everybody's, a stranger
  /// may hold its lock for good.
  private static func takeTurn(_ lock: borrowing Descriptor, _ folder: String) throws(DaemonError) {
    for _ in 0..<100 {
      if flock(lock.number, LOCK_EX | LOCK_NB) == 0 { return }
      let cause = SystemError(errno)
      guard cause.code == EWOULDBLOCK || cause.code == EINTR else {
        throw DaemonError("the folder \(folder) cannot be locked", cause)
      }
      usleep(50_000)
    }
    throw DaemonError(
      "another program has held the lock of the folder \(folder) for five seconds; choose a folder of your own",
      SystemError(EWOULDBLOCK))
  }

  deinit {
    // Only if it is still the file made here.
    if Identity(path) == identity { unlink(path) }
  }

  /// A file, whatever it is called.
  private struct Identity: Equatable, Sendable {
    let device: UInt64
    let file: UInt64
    let isSocket: Bool

    init?(_ path: String) {
      var status = stat()
      guard lstat(path, &status) == 0 else { return nil }
      device = UInt64(status.st_dev)
      file = UInt64(status.st_ino)
      isSocket = status.st_mode & S_IFMT == S_IFSOCK
    }
  }

  private static func prepareFolder(_ folder: String) throws(DaemonError) {
    try MissingFolders.make(folder)
    var status = stat()
    guard stat(folder, &status) == 0 else {
      throw DaemonError("the socket's folder \(folder)", SystemError(errno))
    }
    guard status.st_mode & S_IFMT == S_IFDIR else {
      throw DaemonError(.badSocketPath, "\(folder), where the socket shall be, is not a folder")
    }
    // Who owns the folder could replace the socket.
    guard status.st_uid == geteuid() || status.st_uid == 0 else {
      throw DaemonError(
        .badSocketPath,
        "the socket's folder \(folder) belongs to user \(status.st_uid), not to us: choose another")
    }
  }

  private static func open(_ folder: String) throws(DaemonError) -> Descriptor {
    let number = Glibc.open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard number >= 0 else { throw DaemonError("the socket's folder \(folder)", SystemError(errno)) }
    return Descriptor(owning: number)
  }

  private static func removeStale(_ path: String) throws(DaemonError) {
    guard let found = Identity(path) else { return }
    guard found.isSocket else {
      throw DaemonError(
        .badSocketPath, "\(path) exists and is not a socket: remove it or choose another path")
    }
    let probe = lagoon_socket_connect(path)
    guard probe == -ECONNREFUSED else {
      if probe >= 0 { close(probe) }
      throw DaemonError(
        .socketInUse,
        probe >= 0
          ? "another daemon serves on \(path): stop it or choose another --socket"
          : "\(path) is in use: \(SystemError(-probe))")
    }
    guard unlink(path) == 0 || errno == ENOENT else {
      throw DaemonError("the stale socket \(path) cannot be removed", SystemError(errno))
    }
  }
}
