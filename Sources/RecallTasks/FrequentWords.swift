/// RULER's frequent words (arXiv 2404.06654, section 3.3 and appendix D, table 8): words of six random letters whose
/// frequencies follow a zeta distribution; the most frequent is noise, the next three are asked for.
enum FrequentWords {
  static let letters = 6
  /// ζ(2), the sum of the frequencies' weights 1/k² (α = 2).
  private static let zeta = 1.644_934_066_848_226_4
  static let noise = "..."

  /// - Parameters:
  ///   - units: words in tens, the rounding of frequencies aside.
  ///   - length: tokens of the document; there is a word for every 50 of them.
  static func document(_ units: Int, length: Int, _ random: inout TaskRandom) -> RecallDocument {
    // With fewer than 80 words the fourth and the fifth are equally frequent, and the question has no answer.
    let words = 10 * units + 70
    var vocabulary: [String] = []
    var text: [String] = []
    for rank in 1...max(8, length / 50) {
      let count = Int(Double(words) / Double(rank * rank) / zeta)
      if count == 0 { break }
      var word = rank == 1 ? noise : random.letters(letters, from: "a")
      while vocabulary.contains(word) { word = random.letters(letters, from: "a") }
      vocabulary.append(word)
      text += [String](repeating: word, count: count)
    }
    random.shuffle(&text)
    let opening =
      "Read the following coded text and track the frequency of each coded word. Find the three most frequently appeared "
      + "coded words.\n"
    let expected = Array(vocabulary[1...3])
    var (bytes, evidence) = (opening.utf8.count, [Range<Int>]())
    for word in text {
      if expected.contains(word) { evidence.append(bytes..<bytes + letters) }
      bytes += word.utf8.count + 1
    }
    let document = opening + text.joined(separator: " ") + "\n"
    return RecallDocument(
      text: document,
      questions: [
        RecallQuestion(
          place: document.utf8.count,
          prompt:
            "Question: Do not provide any explanation. Please ignore the dots '...'. What are the three most "
            + "frequently appeared coded words in the above coded text? Answer: According to the coded text above, the "
            + "three most frequently appeared words are:",
          answer: " " + expected.joined(separator: ", "), expected: expected, maximumTokens: 50,
          evidence: evidence)
      ])
  }
}
