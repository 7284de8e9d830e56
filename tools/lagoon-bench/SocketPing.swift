import Foundation
import Glibc
import ToolSupport

/// A bare round trip between two threads over a Unix socket pair: what any answer over a socket costs at least.
struct SocketPing {
  /// Seconds of each of `rounds` round trips of `bytes` bytes each way.
  ///
  /// - Parameter work: what the other thread does before it answers.
  static func measure(
    rounds: Int, bytes: Int, answering work: @escaping @Sendable () -> Void = {}
  ) throws -> [Double] {
    var ends: [Int32] = [-1, -1]
    guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0 else {
      throw ToolError("socketpair: \(String(cString: strerror(errno)))")
    }
    let (near, far) = (ends[0], ends[1])
    let echo = Thread {
      var buffer = [UInt8](repeating: 0, count: bytes)
      while transfer(&buffer, far, read) {
        work()
        guard transfer(&buffer, far, writeOut) else { break }
      }
      close(far)
    }
    echo.start()
    defer { close(near) }
    var buffer = [UInt8](repeating: 1, count: bytes)
    return try (0..<rounds).map { _ in
      try seconds {
        guard transfer(&buffer, near, writeOut), transfer(&buffer, near, read) else {
          throw ToolError("the ping's other end went away")
        }
      }
    }
  }

  private static func writeOut(_ fd: Int32, _ bytes: UnsafeMutableRawPointer?, _ count: Int) -> Int {
    write(fd, bytes, count)
  }

  /// Moves the whole buffer; false when the other end is gone.
  private static func transfer(
    _ buffer: inout [UInt8], _ fd: Int32, _ call: (Int32, UnsafeMutableRawPointer?, Int) -> Int
  ) -> Bool {
    buffer.withUnsafeMutableBytes { bytes in
      var done = 0
      while done < bytes.count {
        let moved = call(fd, bytes.baseAddress.map { $0 + done }, bytes.count - done)
        guard moved > 0 else { return false }
        done += moved
      }
      return true
    }
  }
}
