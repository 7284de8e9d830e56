import Foundation

/// Reads a file of equal words, little-endian, by offset.
final class WordFile<Word: FixedWidthInteger & UnsignedInteger & Sendable>: Sendable {
  let path: String
  /// Words.
  let count: Int
  private let descriptor: Int32

  /// - Parameter count: the words that the file must have.
  /// - Throws: `damaged` when it has another length or is not there, `io`.
  init(path: String, count: Int) throws(DataError) {
    self.path = path
    self.count = count
    descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      if errno == ENOENT { throw .damaged("this file of the spool is missing", path) }
      throw .system("cannot be opened", path: path)
    }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw .system("cannot be looked at", path: path) }
    let (bytes, overflow) = count.multipliedReportingOverflow(by: MemoryLayout<Word>.size)
    guard count >= 0, !overflow, Int(status.st_size) == bytes else {
      throw .damaged("\(status.st_size) bytes, not those of \(count) words", path)
    }
  }

  deinit { close(descriptor) }

  /// Reads words.
  ///
  /// - Throws: `damaged` when the file has become shorter, `io`.
  func read(_ range: Range<Int>) throws(DataError) -> [Word] {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "outside of the file")
    let size = MemoryLayout<Word>.size
    var words = [Word](repeating: 0, count: range.count)
    var done = 0
    while done < range.count * size {
      // SAFETY: `done` is below the array's bytes, of which the rest is filled.
      let length = words.withUnsafeMutableBytes {
        pread(descriptor, $0.baseAddress! + done, $0.count - done, off_t(range.lowerBound * size + done))
      }
      if length < 0, errno == EINTR { continue }
      guard length >= 0 else { throw .system("cannot be read", path: path) }
      guard length > 0 else { throw .damaged("the file has become shorter", path) }
      done += length
    }
    if Word(littleEndian: 1) != 1 { return words.map(Word.init(littleEndian:)) }
    return words
  }

  /// Reads everything, block by block.
  func forEachBlock(
    ofWords blockWords: Int, _ body: (_ first: Int, _ words: [Word]) throws -> Void
  ) throws {
    var first = 0
    while first < count {
      let end = min(count, first + blockWords)
      try body(first, try read(first..<end))
      first = end
    }
  }
}

extension DataError {
  static func damaged(_ what: String, _ path: String) -> DataError {
    DataError(.damaged, "\(what); the spool is damaged, remove its folder to make it again", path: path)
  }
}
