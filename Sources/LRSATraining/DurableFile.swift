import Foundation
import Safetensors

/// Files and folders that are in their place, on the disk, when the call returns.
enum DurableFile {
  /// Writes a file, which appears whole or not at all.
  static func write(_ data: Data, to path: String) throws {
    var file = try AtomicFile(path: path)
    try file.append([UInt8](data))
    try file.commit()
  }

  /// Puts a finished folder into its place, where none is.
  static func rename(_ from: String, to path: String) throws {
    guard Glibc.rename(from, path) == 0 else {
      throw TrainingError("cannot rename \(from) to \(path): \(String(cString: strerror(errno)))")
    }
    try AtomicFile.syncFolder(of: path)
  }
}
