import Foundation

/// A file mapped for reading. This is the only place of the module that owns memory.
///
/// Whoever truncates the file while it is mapped makes later reads fault (SIGBUS), as with every mapped file: model files are
/// replaced by renaming, never rewritten in place.
///
/// `@unchecked Sendable`: the pointer is set once in `init`, the pages are mapped `PROT_READ`, and nothing is freed before
/// `deinit`, which runs when no reference is left.
final class FileMapping: @unchecked Sendable {
  /// The whole file. Empty for an empty file, which cannot be mapped.
  let bytes: UnsafeRawBufferPointer

  init(path: String) throws(SafetensorsError) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      let code = errno
      throw SafetensorsError(
        .io, "cannot open: \(String(cString: strerror(code)))", path: path, systemCode: code)
    }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      let code = errno
      throw SafetensorsError(
        .io, "cannot stat: \(String(cString: strerror(code)))", path: path, systemCode: code)
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw SafetensorsError(.io, "not a regular file", path: path)
    }
    let size = Int(status.st_size)
    if size == 0 {
      bytes = UnsafeRawBufferPointer(start: nil, count: 0)
      return
    }
    guard let base = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0), base != MAP_FAILED else {
      let code = errno
      throw SafetensorsError(
        .io, "cannot map: \(String(cString: strerror(code)))", path: path, systemCode: code)
    }
    bytes = UnsafeRawBufferPointer(start: base, count: size)
  }

  deinit {
    if let base = bytes.baseAddress {
      munmap(UnsafeMutableRawPointer(mutating: base), bytes.count)
    }
  }
}
