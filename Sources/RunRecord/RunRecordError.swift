import Foundation

/// Why a run's record cannot be written or read, and where.
public struct RunRecordError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The kind of failure. More kinds may come.
  public struct Code: RawRepresentable, Sendable, Hashable {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }

    /// The operating system refused to create, open, read, write or rename a file.
    public static let io = Code(rawValue: "io")
    /// A line is not a record.
    public static let malformed = Code(rawValue: "malformed")
  }

  public let code: Code
  public let message: String
  /// The file.
  public let path: String
  /// The line that the message is about, counted from 1.
  public let line: Int?
  /// `errno` of the call that failed.
  public let systemCode: Int32?

  public init(
    _ code: Code, _ message: String, path: String, line: Int? = nil, systemCode: Int32? = nil
  ) {
    self.code = code
    self.message = message
    self.path = path
    self.line = line
    self.systemCode = systemCode
  }

  public var description: String {
    "\(path)\(line.map { ":\($0)" } ?? ""): \(message)"
  }

  /// What the last system call answered.
  static func system(_ what: String, _ path: String) -> RunRecordError {
    let code = errno
    return RunRecordError(.io, "\(what): \(String(cString: strerror(code)))", path: path, systemCode: code)
  }
}
