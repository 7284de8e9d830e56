/// A passkey of 64 digits in repeated filler.
///
/// The LagKV paper (arXiv 2504.04704, section 4) hides it in essays with the instructions of Mohtashami and Jaggi
/// (arXiv 2305.16300); here the filler is theirs too.
enum Passkey {
  static let digits = 64

  static func document(_ units: Int, _ random: inout TaskRandom) -> RecallDocument {
    let key = random.digits(digits)
    let opening =
      "There is an important info hidden inside a lot of irrelevant text. Find it and memorize it. I will quiz you about "
      + "the important information there.\n"
    let line = "The pass key is \(key). Remember it. \(key) is the pass key."
    let (filler, begins) = Filler.text(units, with: [line], &random)
    let text = opening + filler
    let begin = opening.utf8.count + begins[0]
    let first = begin + "The pass key is ".utf8.count
    let second = begin + "The pass key is . Remember it. ".utf8.count + digits
    return RecallDocument(
      text: text,
      questions: [
        RecallQuestion(
          place: text.utf8.count, prompt: "What is the pass key? The pass key is", answer: " " + key,
          expected: [key], maximumTokens: 128, evidence: [first..<first + digits, second..<second + digits])
      ])
  }
}
