/// RULER's variable tracking (arXiv 2404.06654, section 3.2 and appendix D, table 8): a value is assigned to a variable, that
/// to another, four times, among filler; which variables hold the value? One solved sample stands before it.
enum VariableTracking {
  static let hops = 4

  static func document(_ units: Int, _ random: inout TaskRandom) -> RecallDocument {
    let sample = Chain(letters: 3, &random)
    let (sampleText, _) = task(5, sample, &random)
    let before = sampleText + sample.question + sample.answer + "\n\n"
    let chain = Chain(letters: 5, &random)
    let (own, evidence) = task(units, chain, &random)
    let text = before + own
    let shift = before.utf8.count
    return RecallDocument(
      text: text,
      questions: [
        RecallQuestion(
          place: text.utf8.count, prompt: chain.question, answer: chain.answer, expected: chain.names,
          maximumTokens: 60,
          evidence: evidence.map { $0.lowerBound + shift..<$0.upperBound + shift })
      ])
  }

  private struct Chain {
    let names: [String]
    let value: String

    init(letters: Int, _ random: inout TaskRandom) {
      var names: [String] = []
      while names.count <= hops {
        let name = random.letters(letters, from: "A")
        if !names.contains(name) { names.append(name) }
      }
      self.names = names
      value = String(random.draw(10_000...99_999))
    }

    var lines: [String] {
      ["VAR \(names[0]) = \(value)."] + zip(names.dropFirst(), names).map { "VAR \($0) = VAR \($1)." }
    }
    var question: String {
      "Question: Find all variables that are assigned the value \(value) in the text above. Answer: According to the "
        + "chain(s) of variable assignment in the text above, \(names.count) variables are assigned the value \(value), "
        + "they are:"
    }
    var answer: String { " " + names.joined(separator: ", ") }
  }

  /// The text of a chain, and where its lines stand in it.
  private static func task(
    _ units: Int, _ chain: Chain, _ random: inout TaskRandom
  ) -> (text: String, evidence: [Range<Int>]) {
    let opening =
      "Memorize and track the chain(s) of variable assignment hidden in the following text.\n\n"
    let (filler, begins) = Filler.text(units, with: chain.lines, &random)
    let shift = opening.utf8.count
    return (
      opening + filler, zip(begins, chain.lines).map { $0 + shift..<$0 + shift + $1.utf8.count }
    )
  }
}
