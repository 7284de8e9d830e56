import CPosix
import Glibc

/// Accumulators of one backward pass: zeroed memory in an unlinked file of the store's folder, so that its length is bounded by
/// the disk and not by memory, and nothing of it outlives the process. Only what is reserved takes disk, counts in the quota and
/// may be written to; the rest reads as zeros.
///
/// Confined to the pass that owns it.
final class GradientScratch {
  /// Page-aligned.
  let base: UnsafeMutableRawPointer
  /// Bytes that the disk holds now.
  private(set) var reservedBytes = 0
  private let byteCount: Int
  private let descriptor: Int32
  private let writer: Writer
  private let session: String

  /// Makes the file, with nothing reserved.
  ///
  /// - Parameter bytes: at least 1.
  /// - Throws: `diskFull`, `tooLarge`, `internal`.
  init(folder: String, bytes: Int, writer: Writer, session: String) throws(StoreError) {
    var template = Array("\(folder)/gradients-XXXXXX".utf8CString)
    let descriptor = template.withUnsafeMutableBufferPointer { name in
      guard let name = name.baseAddress else { return Int32(-1) }
      let descriptor = mkstemp(name)
      // Nobody else finds it from here on, and it is gone with its last reference.
      if descriptor >= 0 { unlink(name) }
      return descriptor
    }
    guard descriptor >= 0 else { throw Self.failure("cannot be made", errno, session) }
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    guard ftruncate(descriptor, off_t(bytes)) == 0 else {
      let code = errno
      close(descriptor)
      throw Self.failure("cannot be \(bytes) bytes long", code, session)
    }
    guard let base = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), base != MAP_FAILED
    else {
      let code = errno
      close(descriptor)
      throw Self.failure("cannot be mapped", code, session)
    }
    self.base = base
    self.descriptor = descriptor
    byteCount = bytes
    self.writer = writer
    self.session = session
  }

  deinit {
    munmap(base, byteCount)
    close(descriptor)
    writer.giveScratch(bytes: reservedBytes)
  }

  /// Takes quota and disk for a part of the file: whole pages that are not reserved.
  ///
  /// - Throws: `quotaExceeded`, `diskFull`, `internal`; nothing is reserved then.
  func reserve(_ range: Range<Int>) throws(StoreError) {
    if range.isEmpty { return }
    try writer.takeScratch(bytes: range.count, for: session)
    let code = posix_fallocate(descriptor, off_t(range.lowerBound), off_t(range.count))
    guard code == 0 else {
      _ = lagoon_punch_hole(descriptor, UInt64(range.lowerBound), UInt64(range.count))
      writer.giveScratch(bytes: range.count)
      throw Self.failure("cannot hold \(range.count) bytes more", code, session)
    }
    reservedBytes += range.count
  }

  /// Gives a reserved part back: whole pages.
  ///
  /// - Returns: false where the file system cannot; it stays reserved then, as it was.
  func release(_ range: Range<Int>) -> Bool {
    if range.isEmpty { return true }
    guard lagoon_punch_hole(descriptor, UInt64(range.lowerBound), UInt64(range.count)) == 0 else {
      return false
    }
    writer.giveScratch(bytes: range.count)
    reservedBytes -= range.count
    return true
  }

  private static func failure(_ what: String, _ code: Int32, _ session: String) -> StoreError {
    let kind: StoreError.Code =
      switch code {
      case ENOSPC, EDQUOT: .diskFull
      case EFBIG, ENOMEM, EINVAL: .tooLarge
      default: .internal
      }
    return StoreError(
      kind, "the scratch file of a backward pass \(what): \(String(cString: strerror(code)))",
      session: session,
      systemCode: code)
  }
}
