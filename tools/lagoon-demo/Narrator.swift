import ToolSupport

/// Tells on standard output what the demo does: numbered steps, the command that a user would type, results.
struct Narrator {
  private let steps: Int
  private var step = 0

  init(steps: Int) { self.steps = steps }

  /// Announces the next step in one line.
  mutating func announce(_ text: String, command: String? = nil) throws(ToolError) {
    step += 1
    try Output.write("\n\(step)/\(steps)  \(text)\n")
    if let command { try Output.write("     $ \(command)\n") }
  }

  func say(_ text: String) throws(ToolError) {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    try Output.write(lines.map { $0.isEmpty ? "\n" : "     \($0)\n" }.joined())
  }
}
