/// What is wrong with one line or one text. Its reader knows the file and adds it; with `skipBad` the text is left out instead.
package struct BadText: Error, Hashable {
  package let message: String
  /// The line within the text where that is known better here than by the reader, from 1.
  package let line: Int?

  package init(_ message: String, line: Int? = nil) {
    self.message = message
    self.line = line
  }
}

/// A line or a file that was left out.
public struct SkippedText: Codable, Sendable, Hashable {
  public let path: String
  /// From 1; nil when it is the whole file.
  public let line: Int?
  public let reason: String
}
