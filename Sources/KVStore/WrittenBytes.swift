import Glibc

/// Counts the bytes that the calling thread hands to `write` calls, by Linux's own account of it.
///
/// LMDB writes a commit with plain writes from the committing thread, so the difference around `mdb_txn_commit` is exactly
/// what the commit wrote: its pages and a meta page of less than a page.
struct WrittenBytes: ~Copyable {
  private let descriptor: Int32

  /// Must be made on the thread that is to be counted.
  init() { descriptor = open("/proc/thread-self/io", O_RDONLY | O_CLOEXEC) }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// `wchar` of /proc/thread-self/io; nil where the system does not tell.
  func count() -> Int? {
    guard descriptor >= 0 else { return nil }
    return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 512) { buffer in
      let read = pread(descriptor, buffer.baseAddress, buffer.count, 0)
      guard read > 0 else { return nil }
      let label = Array("wchar: ".utf8)
      var i = 0
      while i + label.count < read {
        if (0..<label.count).allSatisfy({ buffer[i + $0] == label[$0] }) {
          var value = 0
          i += label.count
          while i < read, case 48...57 = buffer[i] {
            value = value &* 10 &+ Int(buffer[i] - 48)
            i += 1
          }
          return value
        }
        i += 1
      }
      return nil
    }
  }
}
