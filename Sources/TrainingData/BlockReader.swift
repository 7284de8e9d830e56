import Foundation

/// A file that is read once, from its beginning, block by block.
package final class BlockReader {
  package static let blockBytes = 1 << 20

  let file: InputFile
  /// The last block that was read; the first `count` bytes are the file's.
  private(set) var block = [UInt8](repeating: 0, count: BlockReader.blockBytes)
  private(set) var count = 0
  /// Bytes read so far.
  private(set) var offset = 0
  private let descriptor: Int32

  /// - Throws: `io` when it cannot be opened, `changed` when it is not the file that was found.
  package init(_ file: InputFile) throws(DataError) {
    self.file = file
    descriptor = open(file.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw .system("cannot be opened", path: file.path) }
    try checkUnchanged()
  }

  deinit { close(descriptor) }

  /// Reads the next block.
  ///
  /// - Returns: false at the end.
  /// - Throws: `io`, or `changed` when the file is no longer what it was.
  func next() throws(DataError) -> Bool {
    repeat {
      count = block.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
    } while count < 0 && errno == EINTR
    guard count >= 0 else {
      count = 0
      throw .system("cannot be read", path: file.path)
    }
    offset += count
    if count == 0 { try checkUnchanged() }
    guard count > 0 || offset == file.size else { throw Self.changed(file) }
    return count > 0
  }

  private func checkUnchanged() throws(DataError) {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw .system("cannot be looked at", path: file.path) }
    guard status.st_mode & S_IFMT == S_IFREG, Int(status.st_size) == file.size,
      status.modifiedNanoseconds == file.modified
    else { throw Self.changed(file) }
  }

  private static func changed(_ file: InputFile) -> DataError {
    DataError(.changed, "the file was changed while it was read; start again", path: file.path)
  }
}

/// Cuts a file into lines.
package struct LineReader {
  /// Bytes of a line.
  package static let maximumBytes = 64 << 20

  package enum Line { case whole, tooLong }

  let reader: BlockReader
  /// The number of the last line that was read, from 1.
  package private(set) var number = 0
  private var start = 0
  private let maximum: Int

  package init(_ reader: BlockReader, maximum: Int = Self.maximumBytes) {
    self.reader = reader
    self.maximum = maximum
  }

  /// Reads the next line.
  ///
  /// - Parameter line: its bytes without the line feed, in place of what it held; of a line that is too long only a part.
  /// - Returns: nil at the end of the file.
  package mutating func next(into line: inout [UInt8]) throws(DataError) -> Line? {
    line.removeAll(keepingCapacity: line.capacity <= 2 * BlockReader.blockBytes)
    var isLong = false
    var isEmpty = true
    while true {
      if start == reader.count {
        start = 0
        guard try reader.next() else { break }
      }
      isEmpty = false
      let rest = reader.block[start..<reader.count]
      let end = rest.firstIndex(of: UInt8(ascii: "\n"))
      let part = rest[..<(end ?? reader.count)]
      isLong = isLong || line.count + part.count > maximum
      if !isLong { line += part }
      start = end.map { $0 + 1 } ?? reader.count
      if end != nil { break }
    }
    guard !isEmpty else { return nil }
    number += 1
    return isLong ? .tooLong : .whole
  }
}
