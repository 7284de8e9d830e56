import Foundation

/// A file that appears whole or not at all: written beside its place, synced, renamed over it, and the folder synced, so that
/// after a power cut the place has the old file or the new one.
package struct AtomicFile: ~Copyable {
  private let path: String
  private let temporary: String
  /// Negative once the file is closed.
  private var descriptor: Int32

  /// Begins a file; what stands at `path` stays until ``commit()``.
  ///
  /// - Throws: `io`.
  package init(path: String) throws(SafetensorsError) {
    self.path = path
    temporary = "\(path).\(getpid())-\(UInt32.random(in: 0...UInt32.max)).tmp"
    descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw systemError("cannot create \(temporary)", path) }
  }

  /// A file that was not committed leaves nothing behind.
  deinit {
    guard descriptor >= 0 else { return }
    close(descriptor)
    unlink(temporary)
  }

  package mutating func append(_ bytes: UnsafeRawBufferPointer) throws(SafetensorsError) {
    var left = bytes[...]
    while let address = UnsafeRawBufferPointer(rebasing: left).baseAddress, !left.isEmpty {
      let written = write(descriptor, address, left.count)
      if written < 0 {
        if errno == EINTR { continue }
        throw systemError("cannot write", path)
      }
      left = left.dropFirst(written)
    }
  }

  package mutating func append(_ bytes: [UInt8]) throws(SafetensorsError) {
    try bytes.withUnsafeBufferPointer { (bytes) throws(SafetensorsError) in
      try append(UnsafeRawBufferPointer(bytes))
    }
  }

  /// Puts the file into its place.
  ///
  /// - Throws: `io`; then `path` is as it was and no temporary file stays behind, unless only the folder could not be synced.
  package consuming func commit() throws(SafetensorsError) {
    guard fsync(descriptor) == 0 else { throw systemError("cannot sync", path) }
    guard rename(temporary, path) == 0 else { throw systemError("cannot rename \(temporary)", path) }
    close(descriptor)
    descriptor = -1
    try Self.syncFolder(of: path)
  }

  /// Brings the folder of a file or folder that was made or renamed to the disk.
  ///
  /// - Throws: `io`.
  package static func syncFolder(of path: String) throws(SafetensorsError) {
    let folder = (path as NSString).deletingLastPathComponent
    let folderDescriptor = open(folder.isEmpty ? "." : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard folderDescriptor >= 0 else { throw systemError("cannot open the folder", path) }
    defer { close(folderDescriptor) }
    guard fsync(folderDescriptor) == 0 else { throw systemError("cannot sync the folder", path) }
  }
}

private func systemError(_ what: String, _ path: String) -> SafetensorsError {
  let code = errno
  return SafetensorsError(.io, "\(what): \(String(cString: strerror(code)))", path: path, systemCode: code)
}
