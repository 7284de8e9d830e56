import Foundation

/// Where the bytes for a path go. Only a regular file is ever replaced.
enum Destination {
  /// Behind all symbolic links, which stay: nothing yet, or a regular file, whose permissions its successor gets.
  case place(String, permissions: mode_t?)
  /// A FIFO or a character device, such as a terminal or a pipe as `/dev/stdout`: bytes are written into it.
  case stream

  /// - Throws: when a folder or another thing stands there that is no file, or the path leads nowhere.
  init(_ path: String) throws(FileError) {
    var status = stat()
    guard stat(path, &status) == 0 else {
      guard errno == ENOENT else { throw .system("cannot be written", path) }
      self = .place(try Self.followed(path), permissions: nil)
      return
    }
    switch status.st_mode & S_IFMT {
    case S_IFREG: self = .place(try Self.followed(path), permissions: status.st_mode & 0o777)
    case S_IFIFO, S_IFCHR: self = .stream
    case S_IFDIR: throw FileError("is a folder; name a file", path: path)
    default: throw FileError("is a socket or a block device; name a file", path: path)
    }
  }

  /// The path without symbolic links at its end; what they lead to need not be there.
  private static func followed(_ path: String) throws(FileError) -> String {
    var place = path
    // As many as the system follows.
    for _ in 0..<40 {
      guard let target = try? FileManager.default.destinationOfSymbolicLink(atPath: place) else {
        return place
      }
      place =
        target.hasPrefix("/")
        ? target : ((place as NSString).deletingLastPathComponent as NSString).appendingPathComponent(target)
    }
    throw FileError("too many symbolic links", path: path, systemCode: ELOOP)
  }
}
