import Foundation

/// The text of the demo and of the experiments: the King James Bible as Debian's package `bible-kjv` prints it, verse references
/// removed.
public enum KingJamesBible {
  /// Bytes of the whole text; the model was trained on those before `heldOutStart`.
  public static let byteCount = 4_137_850
  public static let heldOutStart = 3_930_957

  public static let command = "bible -f 'gen1:1-rev22:21' | sed -E 's/^[^ ]+ //'"

  /// The whole text.
  ///
  /// - Throws: when the package is not installed, or prints another edition.
  public static func text() throws -> [UInt8] {
    let text = withoutReferences(try run("bible", ["-f", "gen1:1-rev22:21"]))
    guard text.count == byteCount else {
      throw ToolError(
        "`bible -f 'gen1:1-rev22:21'` printed \(text.count) bytes of text instead of \(byteCount): "
          + "this is another edition than the model was trained on")
    }
    return text
  }

  /// The part that the model has never seen, from the epistle to the Colossians to the end.
  public static func heldOut() throws -> [UInt8] { Array(try text()[heldOutStart...]) }

  /// Every line without what stands before its first blank, as `sed -E 's/^[^ ]+ //'`.
  static func withoutReferences(_ text: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(text.count)
    for line in text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
      if let blank = line.firstIndex(of: UInt8(ascii: " ")), blank > line.startIndex {
        result += line[(blank + 1)...]
      } else {
        result += line
      }
      result.append(UInt8(ascii: "\n"))
    }
    // The text ends with a newline, behind which split sees an empty line.
    result.removeLast()
    return result
  }

  /// Standard output of a program found on the PATH.
  private static func run(_ program: String, _ arguments: [String]) throws -> [UInt8] {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = [program] + arguments
    process.standardInput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw ToolError(
        "`\(program)` failed with code \(process.terminationStatus); "
          + "the Debian package bible-kjv has it (`make setup` installs it)")
    }
    return Array(output)
  }
}
