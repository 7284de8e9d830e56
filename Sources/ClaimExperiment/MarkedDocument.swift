/// A Markdown document with places that are filled by a program, each between a line `<!-- claim: NAME -->` and a line `<!-- end -->`.
package struct MarkedDocument: Sendable, Hashable {
  package private(set) var text: String
  /// In order.
  package let places: [String]

  /// Why a document cannot be filled.
  package struct Flaw: Error, Sendable, Hashable, CustomStringConvertible {
    package let description: String
  }

  private static let begin = "<!-- claim: "
  private static let close = " -->"
  private static let end = "<!-- end -->"

  /// - Throws: for a place that does not end, that stands twice, or when there is none, with the line.
  package init(_ text: String) throws(Flaw) {
    self.text = text
    var (places, open): ([String], (name: String, line: Int)?) = ([], nil)
    for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      if let name = Self.name(line) {
        if let open {
          throw Flaw(description: "line \(number + 1): \"\(open.name)\" of line \(open.line) has no end")
        }
        guard !places.contains(name) else {
          throw Flaw(description: "line \(number + 1): \"\(name)\" stands twice")
        }
        places.append(name)
        open = (name, number + 1)
      } else if line == Self.end {
        guard open != nil else { throw Flaw(description: "line \(number + 1): an end without a beginning") }
        open = nil
      }
    }
    if let open { throw Flaw(description: "\"\(open.name)\" of line \(open.line) has no end") }
    guard !places.isEmpty else {
      throw Flaw(description: "there is no line \"\(Self.begin)NAME\(Self.close)\"")
    }
    self.places = places
  }

  private static func name(_ line: Substring) -> String? {
    guard line.hasPrefix(begin), line.hasSuffix(close) else { return nil }
    return String(line.dropFirst(begin.count).dropLast(close.count))
  }

  /// Puts a part into each place; places without one say `missing`.
  package mutating func fill(_ parts: [String: String], missing: String) {
    var lines: [Substring] = []
    var isInside = false
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      if line == Self.end { isInside = false }
      if !isInside { lines.append(line) }
      guard let name = Self.name(line) else { continue }
      isInside = true
      var part = Substring(parts[name] ?? missing)
      while part.last == "\n" { part.removeLast() }
      lines += ["", part, ""]
    }
    text = lines.joined(separator: "\n")
  }
}
