import RecallTasks
import Tokenization

/// A document as a model reads it: cut where something is asked, each piece in tokens.
package struct TokenizedDocument {
  package struct Asked {
    /// Tokens of the document before the question.
    package let place: Int
    package let questions: [Question]
  }

  package struct Question {
    /// Which of the document's questions it is.
    package let index: Int
    package let prompt: [UInt32]
    package let answer: [UInt32]
    /// Tokens of the document that hold a byte of what is asked for; nil where tokens are no runs of its bytes.
    package let evidence: [Int]?
  }

  package let tokens: [UInt32]
  /// In order of place; several questions can share one.
  package let asked: [Asked]

  /// - Throws: `EvaluationError` for a place, an answer or evidence that cannot be; `TokenizerError`.
  package init(_ document: RecallDocument, _ tokenizer: any Tokenizer) throws {
    let bytes = Array(document.text.utf8)
    try Self.check(document, bytes.count)
    var tokens: [UInt32] = []
    /// Where each token begins; nil from the first on that is no run of the text's bytes.
    var begins: [Int]? = []
    var done = 0
    func readOn(to place: Int) throws {
      guard place > done else { return }
      let piece = Array(bytes[done..<place])
      let new = try tokenizer.encode(piece, isBeginning: done == 0)
      if var known = begins {
        var at = done
        for token in new {
          known.append(at)
          at += tokenizer.bytes(of: token).count
        }
        begins = at == place && new.flatMap(tokenizer.bytes(of:)) == piece ? known : nil
      }
      tokens += new
      done = place
    }
    var asked: [Asked] = []
    let places = Set(document.questions.map(\.place)).sorted()
    for place in places {
      try readOn(to: place)
      var questions: [Question] = []
      for (index, question) in document.questions.enumerated() where question.place == place {
        let prompt = try tokenizer.encode(Array(question.prompt.utf8), isBeginning: place == 0)
        let answer = try tokenizer.encode(Array(question.answer.utf8), isBeginning: false)
        guard !prompt.isEmpty, !answer.isEmpty else {
          throw EvaluationError("question \(index) has no tokens in this model's vocabulary")
        }
        let evidence = begins.map { begins in
          begins.indices.filter { token in
            let end = token + 1 < begins.count ? begins[token + 1] : done
            return question.evidence.contains { $0.overlaps(begins[token]..<end) }
          }
        }
        questions.append(Question(index: index, prompt: prompt, answer: answer, evidence: evidence))
      }
      asked.append(Asked(place: tokens.count, questions: questions))
    }
    try readOn(to: bytes.count)
    self.tokens = tokens
    self.asked = asked
  }

  private static func check(_ document: RecallDocument, _ count: Int) throws {
    for (index, question) in document.questions.enumerated() {
      guard (0...count).contains(question.place) else {
        throw EvaluationError("question \(index) is asked at byte \(question.place) of \(count)")
      }
      guard question.maximumTokens > 0, !question.expected.isEmpty,
        question.expected.allSatisfy({ !$0.isEmpty })
      else { throw EvaluationError("question \(index) has no answer that could be right") }
    }
  }
}
