import Glibc
import LagoonProtocol

/// Folders that nobody need make before a daemon starts.
public enum MissingFolders {
  /// Makes `folder` and those above it where they are missing, mode 0700.
  ///
  /// - Throws: `system`, naming the folder that cannot be made.
  public static func make(_ folder: String) throws(DaemonError) {
    var status = stat()
    if stat(folder, &status) == 0 { return }
    guard errno == ENOENT else {
      throw DaemonError("the folder \(folder) cannot be looked at", SystemError(errno))
    }
    if folder != "/", folder != "." { try make(parent(of: folder)) }
    guard mkdir(folder, 0o700) == 0 || errno == EEXIST else {
      throw DaemonError("the folder \(folder) cannot be made", SystemError(errno))
    }
  }

  /// The folder that `path` is in.
  public static func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }
}
