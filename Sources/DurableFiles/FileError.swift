import Foundation

/// What the system refused about a file, and which.
package struct FileError: Error, Sendable, Hashable, CustomStringConvertible {
  package let message: String
  /// The file, as the caller named it.
  package let path: String
  /// `errno` of the call that failed; nil when the file is of a kind that cannot be written to.
  package let systemCode: Int32?

  package init(_ message: String, path: String, systemCode: Int32? = nil) {
    self.message = message
    self.path = path
    self.systemCode = systemCode
  }

  package var description: String { "\(path): \(message)" }

  /// Of the call before, whose `errno` still stands.
  static func system(_ what: String, _ path: String) -> FileError {
    let code = errno
    return FileError("\(what): \(String(cString: strerror(code)))", path: path, systemCode: code)
  }
}
