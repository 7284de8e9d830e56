import Foundation

/// Whole files, read within a bound.
enum FileBytes {
  /// - Throws: `io` when the file cannot be read or is no regular file; `unsupported` when it is larger than `limit` bytes.
  static func read(_ path: String, atMost limit: Int) throws(TokenizerError) -> [UInt8] {
    // Not blocking: a pipe in the file's place must not hold the program up.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw failure("cannot open", path) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw failure("cannot stat", path) }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw TokenizerError(.io, "not a regular file", path: path)
    }
    let size = Int(status.st_size)
    guard size <= limit else {
      throw TokenizerError(.unsupported, "\(size) bytes; at most \(limit) are read", path: path)
    }
    var done = 0
    var code: Int32 = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
      while done < size {
        // SAFETY: `done..<size` lies within the capacity that was asked for.
        let read = Foundation.read(descriptor, buffer.baseAddress?.advanced(by: done), size - done)
        if read < 0, errno == EINTR { continue }
        if read < 0 { code = errno }
        guard read > 0 else { break }
        done += read
      }
      count = done
    }
    guard code == 0 else {
      throw TokenizerError(.io, "cannot read: \(String(cString: strerror(code)))", path: path)
    }
    return bytes
  }

  private static func failure(_ what: String, _ path: String) -> TokenizerError {
    TokenizerError(.io, "\(what): \(String(cString: strerror(errno)))", path: path)
  }
}
