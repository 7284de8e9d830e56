/// Why a value of this module could not be made.
public struct RetentionError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The field that is out of its range. More codes may be added.
  public struct Code: Sendable, Hashable, CustomStringConvertible {
    public let description: String
    public static let sinks = Code(description: "sinks")
    public static let lag = Code(description: "lag")
    public static let ratio = Code(description: "ratio")
    public static let valueWeight = Code(description: "valueWeight")
    public static let exemptLayers = Code(description: "exemptLayers")
  }

  public let code: Code
  /// What was given and what is allowed.
  public let message: String
  public var description: String { "\(code): \(message)" }
}
