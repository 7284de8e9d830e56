/// Why a run cannot begin or go on: what was wrong, where, what to do.
public struct TrainingError: Error, Sendable, Hashable, CustomStringConvertible {
  public let message: String

  public init(_ message: String) { self.message = message }

  public var description: String { message }
}
