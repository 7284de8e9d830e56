import Foundation

/// Standard output of a tool: bytes that are there when the call returns, and an error when nobody reads any more.
public enum Output {
  /// Writes all bytes to standard output.
  ///
  /// - Throws: `readerGone` when the reader has gone, as in `| head`; or when the disk is full. Tools that have something to
  ///   clean up ignore SIGPIPE (`ExitCleanup.install`).
  public static func write(_ bytes: [UInt8]) throws(ToolError) {
    var done = 0
    while done < bytes.count {
      let written = bytes.withUnsafeBytes { buffer in
        // In bounds: done < bytes.count.
        Glibc.write(STDOUT_FILENO, buffer.baseAddress.map { $0 + done }, buffer.count - done)
      }
      if written < 0 {
        if errno == EINTR { continue }
        throw errno == EPIPE
          ? readerGone : ToolError("cannot write the output: \(String(cString: strerror(errno)))")
      }
      done += written
    }
  }

  /// Nobody reads standard output any more. `runTool` ends the tool as SIGPIPE does, without a message.
  public static let readerGone = ToolError("cannot write the output: nobody reads it any more")

  public static func write(_ text: String) throws(ToolError) {
    try write(Array(text.utf8))
  }

  /// Writes a value as one JSON document with sorted keys.
  public static func json(_ value: some Encodable) throws(ToolError) {
    try write(try jsonText(value) + "\n")
  }

  /// A value as JSON: sorted keys, indented, slashes as they are. Numbers that JSON does not have become strings.
  public static func jsonText(_ value: some Encodable) throws(ToolError) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    do {
      return String(decoding: try encoder.encode(value), as: UTF8.self)
    } catch {
      throw ToolError("cannot encode the result as JSON: \(error)")
    }
  }

  /// Writes a line to standard error, for people.
  public static func note(_ text: String) { show(text + "\n") }

  /// Writes to standard error, for people. Failures are of no consequence there.
  public static func show(_ text: String) {
    var left = Array(text.utf8)[...]
    while !left.isEmpty {
      let written = left.withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
      if written < 0, errno == EINTR { continue }
      guard written > 0 else { return }
      left = left.dropFirst(written)
    }
  }
}
