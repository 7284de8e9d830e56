/// Sentences without information, repeated: the haystack of Mohtashami and Jaggi's passkeys (arXiv 2305.16300) and RULER's.
enum Filler {
  static let sentences = [
    "The grass is green.", "The sky is blue.", "The sun is yellow.", "Here we go.", "There and back again.",
  ]

  /// `units` sentences of filler with lines among them, in order, each at a place of its own draw.
  ///
  /// - Returns: the text, and where each inserted line begins in it, in bytes.
  static func text(
    _ units: Int, with lines: [String], _ random: inout TaskRandom
  ) -> (text: String, begins: [Int]) {
    let places = lines.map { _ in random.below(units + 1) }.sorted()
    var text = ""
    var begins: [Int] = []
    var next = 0
    for unit in 0...units {
      while next < lines.count, places[next] == unit {
        begins.append(text.utf8.count)
        text += lines[next] + " "
        next += 1
      }
      if unit < units { text += sentences[unit % sentences.count] + " " }
    }
    text += "\n"
    return (text, begins)
  }
}
