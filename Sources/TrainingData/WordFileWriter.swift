import Foundation

/// Writes a file of equal words, little-endian. Nothing is at `path` until ``commit()``.
final class WordFileWriter<Word: FixedWidthInteger & UnsignedInteger & Sendable> {
  /// Words that wait in memory for one write.
  private static var bufferedWords: Int { 1 << 16 }

  let path: String
  private(set) var count = 0
  private(set) var checksum = Checksum()
  private let temporary: String
  private let descriptor: Int32
  private var buffer: [Word] = []
  private var isCommitted = false

  init(path: String) throws(DataError) {
    self.path = path
    temporary = "\(path).\(getpid()).tmp"
    descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw .system("cannot be created", path: temporary) }
  }

  deinit {
    close(descriptor)
    if !isCommitted { unlink(temporary) }
  }

  func append(_ words: some Collection<Word>) throws(DataError) {
    var sum = checksum
    for word in words { sum.add(UInt64(word)) }
    checksum = sum
    buffer += words.lazy.map(\.littleEndian)
    count += words.count
    if buffer.count >= Self.bufferedWords { try flush() }
  }

  /// A place to go back to.
  struct Mark {
    fileprivate let count: Int
    fileprivate let checksum: Checksum
  }

  var mark: Mark { Mark(count: count, checksum: checksum) }

  /// Forgets what was written since.
  func rollBack(to mark: Mark) throws(DataError) {
    let flushed = count - buffer.count
    if mark.count >= flushed {
      buffer.removeLast(count - mark.count)
    } else {
      buffer.removeAll(keepingCapacity: true)
      let bytes = off_t(mark.count * MemoryLayout<Word>.size)
      guard ftruncate(descriptor, bytes) == 0, lseek(descriptor, bytes, SEEK_SET) == bytes else {
        throw .system("cannot be truncated", path: temporary)
      }
    }
    count = mark.count
    checksum = mark.checksum
  }

  /// Makes the file durable and puts it at `path`.
  func commit() throws(DataError) {
    try flush()
    guard fsync(descriptor) == 0 else { throw .system("cannot be synced", path: temporary) }
    guard rename(temporary, path) == 0 else {
      throw .system("cannot be renamed from \(temporary)", path: path)
    }
    isCommitted = true
  }

  private func flush() throws(DataError) {
    var done = 0
    let bytes = buffer.count * MemoryLayout<Word>.size
    while done < bytes {
      // SAFETY: `done` is below the buffer's bytes, of which the rest is written.
      let written = buffer.withUnsafeBytes { write(descriptor, $0.baseAddress! + done, bytes - done) }
      if written < 0, errno == EINTR { continue }
      guard written > 0 else { throw .system("cannot be written", path: temporary) }
      done += written
    }
    buffer.removeAll(keepingCapacity: true)
  }
}
