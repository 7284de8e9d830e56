import Foundation

/// A file that grows by whole pieces: each is there entirely, or not at all.
package struct AppendFile: ~Copyable {
  private let descriptor: Int32
  let path: String
  private var length: off_t

  deinit { close(descriptor) }

  /// Opens a file for appending.
  ///
  /// - Parameter flags: beside `O_WRONLY | O_APPEND | O_CREAT`.
  package static func open(_ path: String, flags: Int32 = 0) throws(RunRecordError) -> AppendFile {
    let descriptor = Glibc.open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | flags, 0o644)
    guard descriptor >= 0 else { throw .system("cannot create", path) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      let error = RunRecordError.system("cannot look at", path)
      Glibc.close(descriptor)
      throw error
    }
    return AppendFile(descriptor: descriptor, path: path, length: status.st_size)
  }

  /// Appends bytes with one write(2).
  ///
  /// - Throws: `io` when the disk is full or broken; then what got written of the piece is taken back, as far as the disk allows.
  package mutating func append(_ bytes: [UInt8]) throws(RunRecordError) {
    var done = 0
    while done < bytes.count {
      // In bounds: done < bytes.count.
      let written = bytes.withUnsafeBytes { buffer in
        Glibc.write(descriptor, buffer.baseAddress.map { $0 + done }, buffer.count - done)
      }
      if written < 0 {
        if errno == EINTR { continue }
        let error = RunRecordError.system("cannot write", path)
        if done > 0 { _ = ftruncate(descriptor, length) }
        throw error
      }
      // Less than all is written only when room ends; the next call says why.
      done += written
    }
    length += off_t(bytes.count)
  }

  /// Returns when the bytes are on the disk.
  func synchronize() throws(RunRecordError) {
    guard fsync(descriptor) == 0 else { throw .system("cannot sync", path) }
  }
}
