import Foundation

/// Reads a file line by line, in memory that does not grow with it.
struct LineReader: ~Copyable {
  /// A line without its newline.
  struct Line {
    let bytes: [UInt8]
    /// Counted from 1.
    let number: Int
    /// No newline follows: it is being written, or its writer died.
    let isTorn: Bool
  }

  /// No record comes near it; a file of other contents is not read into memory.
  static let longestLine = 1 << 20
  private static let chunk = 1 << 16

  private let descriptor: Int32
  private let path: String
  private var buffer: [UInt8] = []
  private var start = 0
  private var number = 0

  /// - Parameter descriptor: an open file, which is closed at the end of this value's life.
  private init(descriptor: Int32, path: String) {
    self.descriptor = descriptor
    self.path = path
  }

  deinit { close(descriptor) }

  /// Opens a file; nil when there is none.
  static func open(_ path: String) throws(RunRecordError) -> LineReader? {
    let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      if errno == ENOENT { return nil }
      throw .system("cannot open", path)
    }
    return LineReader(descriptor: descriptor, path: path)
  }

  /// The next line; nil at the file's end.
  mutating func next() throws(RunRecordError) -> Line? {
    var searched = start
    while true {
      if let newline = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) {
        let line = Array(buffer[start..<newline])
        start = newline + 1
        number += 1
        return Line(bytes: line, number: number, isTorn: false)
      }
      guard buffer.count - start <= Self.longestLine else {
        throw RunRecordError(
          .malformed, "longer than \(Self.longestLine) bytes: this is no record of a run", path: path,
          line: number + 1)
      }
      buffer.removeSubrange(..<start)
      start = 0
      searched = buffer.count
      guard try fill() else { break }
    }
    guard !buffer.isEmpty else { return nil }
    let line = buffer
    buffer = []
    number += 1
    return Line(bytes: line, number: number, isTorn: true)
  }

  /// Reads more; false at the end of the file.
  private mutating func fill() throws(RunRecordError) -> Bool {
    let held = buffer.count
    buffer.append(contentsOf: repeatElement(0, count: Self.chunk))
    while true {
      // In bounds: the buffer has `chunk` bytes from `held` on.
      let count = buffer.withUnsafeMutableBytes {
        Glibc.read(descriptor, $0.baseAddress.map { $0 + held }, Self.chunk)
      }
      if count < 0 {
        if errno == EINTR { continue }
        throw .system("cannot read", path)
      }
      buffer.removeLast(Self.chunk - count)
      return count > 0
    }
  }
}
