import LagoonClient
import LanguageModel
import RecallTasks
import Tokenization
import Transformer

/// Asks a model what it recalls of documents that it reads under a retention policy.
///
/// A document is read into a session of its own up to each place where something is asked. The question and what the model
/// goes on with, greedily, stand on an overlay: nothing of them is committed, and the document is read on as it is written.
/// Another overlay holds question and right answer, for the answer's likelihood; where the answer is what going on greedily
/// gives, and nothing else is asked for, it is not generated again.
public struct RecallEvaluation {
  private let model: DecoderModel
  private let tokenizer: any Tokenizer
  private let connection: LagoonConnection
  private let chunk: Int
  private let width: Int

  /// - Parameters:
  ///   - connection: its arena should hold `chunk` tokens.
  ///   - chunk: most tokens of a forward pass.
  ///   - width: questions of one place that are answered together.
  public init(
    model: DecoderModel, tokenizer: any Tokenizer, connection: LagoonConnection, chunk: Int = 256,
    width: Int = 16
  ) {
    precondition(chunk > 0 && width > 0)
    self.model = model
    self.tokenizer = tokenizer
    self.connection = connection
    self.chunk = chunk
    self.width = width
  }

  /// Reads documents one after another and asks their questions.
  ///
  /// - Parameters:
  ///   - parameters: of each document's session; its name is replaced by one of its own.
  ///   - progress: gets the number of documents that are done, often; what it throws ends the evaluation.
  /// - Throws: `EvaluationError` for a document that cannot be asked, and without any question; what client, model and
  ///   tokenizer throw. No session is left behind.
  public func run(
    _ documents: [RecallDocument], parameters: SessionParameters, scoring: RecallScoring,
    progress: (Int) throws -> Void = { _ in }
  ) throws -> RecallResult {
    guard documents.contains(where: { !$0.questions.isEmpty }) else {
      throw EvaluationError("the \(documents.count) documents ask nothing")
    }
    let clock = ContinuousClock.now
    var tally = RecallTally(layers: model.configuration.layers)
    for (number, document) in documents.enumerated() where !document.questions.isEmpty {
      let tokenized = try TokenizedDocument(document, tokenizer)
      try connection.withScratchSession(parameters) { session in
        try ask(document, number, tokenized, session, scoring, &tally) { try progress(number) }
      }
      tally.documents += 1
      tally.tokens += tokenized.tokens.count
      try progress(number + 1)
    }
    return tally.result(parameters, seconds: (ContinuousClock.now - clock) / .seconds(1))
  }

  private func ask(
    _ document: RecallDocument, _ number: Int, _ tokenized: TokenizedDocument, _ session: RemoteSession,
    _ scoring: RecallScoring, _ tally: inout RecallTally, _ progress: () throws -> Void
  ) throws {
    let reader = DocumentReader(model: model, session: session, chunk: chunk)
    for asked in tokenized.asked {
      try reader.read(Array(tokenized.tokens[reader.position..<asked.place])) { _, _ in try progress() }
      let judged = try asked.questions.map { try reader.judge($0.answer, behind: $0.prompt) }
      // A row's logits are the same bits however many rows are computed with it, so where each token of the answer is the
      // likeliest, generating would give that answer.
      let open = asked.questions.indices.filter { scoring != .beginning || !judged[$0].isGreedy }
      var answers = asked.questions.map { $0.answer.flatMap(tokenizer.bytes(of:)) }
      let generated = try generate(open.map { asked.questions[$0] }, document, session, progress)
      for (index, answer) in zip(open, generated) { answers[index] = answer }
      for (index, question) in asked.questions.enumerated() {
        let expected = document.questions[question.index].expected
        tally.outcomes.append(
          RecallOutcome(
            document: number, question: question.index,
            answer: String(decoding: answers[index], as: UTF8.self),
            expected: expected, score: scoring.score(answers[index], expected: expected),
            answerNLL: judged[index].negativeLogLikelihood, answerTokens: question.answer.count))
        if let evidence = question.evidence { try tally.kept.addEvidence(evidence, session) }
      }
    }
    try reader.read(Array(tokenized.tokens[reader.position...])) { _, _ in try progress() }
    try tally.kept.add(session, reader.attention.squaredNorms)
  }

  /// What the model goes on with behind each question of one place.
  private func generate(
    _ questions: [TokenizedDocument.Question], _ document: RecallDocument, _ session: RemoteSession,
    _ progress: () throws -> Void
  ) throws -> [[UInt8]] {
    let prompts = try questions.map { question in
      let asked = document.questions[question.index]
      return Prompt(
        tokens: question.prompt, maximumTokens: asked.maximumTokens, sampler: try Sampler(),
        stream: try TextStream(stopStrings: asked.stop.map { [$0] } ?? []))
    }
    var answers = [[UInt8]](repeating: [], count: questions.count)
    let batch = PromptBatch(
      model: model, tokenizer: tokenizer, session: session, chunk: chunk, width: width)
    try batch.run(prompts) { _, _ in
      try progress()
    } done: { index, answer in
      answers[index] = answer.text
    }
    return answers
  }
}
