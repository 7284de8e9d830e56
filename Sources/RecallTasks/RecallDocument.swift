/// A document and what is asked about it, whatever the task.
public struct RecallDocument: Sendable, Hashable, Codable {
  public var text: String
  /// In order of place.
  public var questions: [RecallQuestion]

  public init(text: String, questions: [RecallQuestion]) {
    self.text = text
    self.questions = questions
  }
}

/// A question and its answer. A model reads the document up to ``place``, then the prompt, and goes on from there.
public struct RecallQuestion: Sendable, Hashable, Codable {
  /// Byte of the document before which the question is asked; the document's byte count: behind its end.
  public var place: Int
  public var prompt: String
  /// What goes on right, for its likelihood.
  public var answer: String
  /// What is looked for in what the model goes on with.
  public var expected: [String]
  /// Most tokens that the model goes on with: at least the right answer's bytes, so that every tokenizer can say it.
  public var maximumTokens: Int
  /// Ends what the model goes on with.
  public var stop: String?
  /// Bytes of the document that hold what is asked for.
  public var evidence: [Range<Int>]

  public init(
    place: Int, prompt: String, answer: String, expected: [String], maximumTokens: Int, stop: String? = nil,
    evidence: [Range<Int>]
  ) {
    self.place = place
    self.prompt = prompt
    self.answer = answer
    self.expected = expected
    self.maximumTokens = maximumTokens
    self.stop = stop
    self.evidence = evidence
  }
}

extension RecallDocument {
  /// The questions of a document with planted numbers, where they stand in it or behind its end. Plain text has none.
  public init(_ document: PlantedDocument) {
    let end = document.text.utf8.count
    let questions = document.planted.map { number in
      RecallQuestion(
        place: number.asked ?? end, prompt: number.question, answer: number.answer,
        expected: [number.answer], maximumTokens: number.answer.utf8.count, stop: "]",
        evidence: [number.statedAnswer])
    }
    self.init(text: document.text, questions: questions.sorted { $0.place < $1.place })
  }
}

extension PlantedDocument {
  /// Checks a document that somebody else may have written: offsets in range, statements and questions where they are said to
  /// be.
  ///
  /// - Throws: `badRecord` saying which number is not where.
  public func check() throws(RecallTaskError) {
    let bytes = Array(text.utf8)
    for number in planted {
      let digits = number.number.utf8.count
      guard (PlantedNumber.askedDigits + 1...1024).contains(digits),
        number.number.utf8.allSatisfy({ (48...57).contains($0) })
      else {
        throw RecallTaskError(.badRecord, "\"\(number.number.prefix(40))\" is no number of 4 to 1024 digits")
      }
      for place in [number.stated, number.asked].compactMap({ $0 }) {
        let text = " [\(number.number)]"
        guard place >= 0, place <= bytes.count - text.utf8.count,
          bytes[place..<place + text.utf8.count].elementsEqual(text.utf8)
        else { throw RecallTaskError(.badRecord, "\"\(text)\" does not stand at byte \(place) of the text") }
      }
      if let asked = number.asked, asked < number.statement.upperBound {
        throw RecallTaskError(.badRecord, "\(number.number) is asked before it is stated")
      }
    }
  }
}
