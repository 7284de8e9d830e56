/// Why an evaluation cannot be made.
public struct EvaluationError: Error, Sendable, Hashable, CustomStringConvertible {
  /// What was wrong, where, and what to do.
  public let message: String

  init(_ message: String) { self.message = message }

  public var description: String { message }
}
