import LagoonProtocol

/// What `--version` prints, for every tool.
public enum ToolVersion {
  /// Such as `lagoon 0.1.0`; all tools have the version of the package.
  public static func text(_ tool: String) -> String { "\(tool) \(LagoonVersion.string)" }
}
