/// What cannot be made, read or scored, and why.
public struct RecallTaskError: Error, Sendable, Hashable, CustomStringConvertible {
  public enum Code: String, Sendable {
    /// An option outside of what is possible.
    case invalidArgument
    /// A text that cannot be planted in: digits, bytes that are not UTF-8, too short.
    case unusableText
    /// The length cannot hold what was asked for.
    case doesNotFit
    /// A line of a file that is no document.
    case badRecord
  }

  public let code: Code
  /// What was wrong, where, and what to do.
  public let message: String

  init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public var description: String { "\(message) [\(code.rawValue)]" }
}
