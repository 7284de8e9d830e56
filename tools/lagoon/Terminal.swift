import Foundation

/// What is printed where.
enum Terminal {
  static var isInput: Bool { isatty(FileHandle.standardInput.fileDescriptor) == 1 }
  static var showsProgress: Bool { isatty(FileHandle.standardError.fileDescriptor) == 1 }

  static func note(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }

  /// JSON with sorted keys in snake case, then a newline, to standard output.
  static func print(json value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    Swift.print(String(decoding: try encoder.encode(value), as: UTF8.self))
  }

  /// Asks on the terminal; only `y` and `yes` agree.
  static func confirm(_ question: String) -> Bool {
    note(question + " [y/N] ")
    return ["y", "yes"].contains(readLine()?.lowercased())
  }
}
