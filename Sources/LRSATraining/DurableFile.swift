import Foundation

/// Files and renames that are on the disk when the call returns.
enum DurableFile {
  static func write(_ data: Data, to path: String) throws {
    let temporary = path + ".tmp"
    try data.write(to: URL(fileURLWithPath: temporary))
    try sync(temporary)
    try rename(temporary, to: path)
  }

  /// Puts a file or folder into its place, over a file that is there.
  static func rename(_ from: String, to path: String) throws {
    guard Glibc.rename(from, path) == 0 else { throw failure("cannot rename \(from) to \(path)") }
    try sync((path as NSString).deletingLastPathComponent)
  }

  private static func sync(_ path: String) throws {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure("cannot open \(path)") }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw failure("cannot sync \(path)") }
  }

  private static func failure(_ what: String) -> TrainingError {
    TrainingError("\(what): \(String(cString: strerror(errno)))")
  }
}
