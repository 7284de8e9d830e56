/// A failure that a tool's user can act on. The argument parser prints it on standard error and exits with code 1.
public struct ToolError: Error, Sendable, Hashable, CustomStringConvertible {
  /// What was wrong, where, and what to do.
  public let message: String

  public init(_ message: String) {
    self.message = message
  }

  public var description: String { message }
}
