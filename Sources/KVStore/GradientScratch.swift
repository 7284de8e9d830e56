import Glibc

/// Accumulators of one backward pass: zeroed memory in an unlinked file of the store's folder, so that its length is bounded by
/// the disk and not by memory, and nothing of it outlives the process.
///
/// Confined to the pass that owns it.
final class GradientScratch {
  /// Page-aligned.
  let base: UnsafeMutableRawPointer
  let byteCount: Int
  private let release: () -> Void

  /// - Parameters:
  ///   - bytes: at least 1; all of it is allocated on the disk now.
  ///   - release: called once the file is gone.
  /// - Throws: `diskFull`, `internal`.
  init(folder: String, bytes: Int, release: @escaping () -> Void) throws(StoreError) {
    var template = Array("\(folder)/gradients-XXXXXX".utf8CString)
    let descriptor = template.withUnsafeMutableBufferPointer { name in
      guard let name = name.baseAddress else { return Int32(-1) }
      let descriptor = mkstemp(name)
      // Nobody else finds it from here on, and it is gone with its last reference.
      if descriptor >= 0 { unlink(name) }
      return descriptor
    }
    guard descriptor >= 0 else { throw Self.failure("cannot be made", errno) }
    defer { close(descriptor) }
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    let code = posix_fallocate(descriptor, 0, bytes)
    guard code == 0 else { throw Self.failure("cannot hold \(bytes) bytes", code) }
    guard let base = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), base != MAP_FAILED
    else {
      throw Self.failure("cannot be mapped", errno)
    }
    self.base = base
    byteCount = bytes
    self.release = release
  }

  deinit {
    munmap(base, byteCount)
    release()
  }

  private static func failure(_ what: String, _ code: Int32) -> StoreError {
    StoreError(
      code == ENOSPC ? .diskFull : .internal,
      "the scratch file of a backward pass \(what): \(String(cString: strerror(code)))", systemCode: code)
  }
}
