import ArgumentParser
import LanguageModel
import ModelToolSupport
import ToolSupport

struct Ask: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Answer several questions on a session's document at once.",
    discussion: """
      Each question gets a private overlay behind the document, so none sees another, and the session stays as it is. \
      --parallel of them go through the model together; every answer is the one that the question alone would get.

      EXAMPLES
        lagoon-lm ask meta-llama --session contract --question "Who signs?" --question "When?" --socket lagoon.sock
        lagoon-lm ask meta-llama --session contract --questions questions.txt --template $'\\nQ: {question}\\nA:' \\
          --stop $'\\n' --json --store /var/tmp/lagoon
      """)

  @OptionGroup var reading: SessionReading

  @Option(help: "A question. May be given more than once.")
  var question: [String] = []

  @Option(
    help: ArgumentHelp(
      "More questions: a file with one on each line, or - for standard input.", valueName: "file"))
  var questions: String?

  @Option(help: "What each question stands in; {question} is replaced by it.")
  var template = "{question}"

  @Option(help: "Questions that are worked on together.")
  var parallel = 4

  @OptionGroup var sampling: SamplingOptions

  @Flag(help: "Print the answers as JSON, in the order of the questions.")
  var json = false

  struct Entry: Encodable {
    var question: String
    var text: String
    var tokenIDs: [UInt32]
    var stopped: String

    enum CodingKeys: String, CodingKey {
      case question, text, stopped
      case tokenIDs = "token_ids"
    }
  }

  struct Result: Encodable {
    var answers: [Entry]
    var sessionTokens: Int
    var tokens: Int
    var seconds: Double
    var tokensPerSecond: Double
    var compute: String

    enum CodingKeys: String, CodingKey {
      case answers, tokens, seconds, compute
      case sessionTokens = "session_tokens"
      case tokensPerSecond = "tokens_per_second"
    }
  }

  func validate() throws {
    guard (1...256).contains(parallel) else {
      throw ValidationError("--parallel \(parallel) is not in 1...256.")
    }
    guard template.contains("{question}") else {
      throw ValidationError("--template has no {question} in it.")
    }
    guard !question.isEmpty || questions != nil else {
      throw ValidationError("there is no question: pass --question or --questions.")
    }
  }

  func run() throws {
    let asked = try question + lines()
    guard !asked.isEmpty else { throw ToolError("\(questions ?? "") has no questions") }
    try reading.run { tokenizer in
      try asked.map { question in
        let text = template.replacing("{question}", with: question)
        let tokens = try tokenizer.encode(Array(text.utf8), isBeginning: false)
        guard !tokens.isEmpty else {
          throw ToolError("\"\(question)\" has no tokens in this model's vocabulary")
        }
        return try sampling.prompt(tokens, replacingInvalid: json)
      }
    } _: { (prompts: [Prompt], opened) in
      try answer(asked, prompts, opened)
    }
  }

  /// Lines of the file that are not blank.
  private func lines() throws -> [String] {
    guard let questions else { return [] }
    return String(decoding: try Input.source(questions), as: UTF8.self)
      .split(whereSeparator: \.isNewline).map(String.init)
      .filter { !$0.allSatisfy(\.isWhitespace) }
  }

  private func answer(_ asked: [String], _ prompts: [Prompt], _ opened: SessionReading.Opened) throws {
    let batch = PromptBatch(
      model: opened.model, tokenizer: opened.tokenizer, session: opened.session, chunk: reading.model.chunk,
      width: parallel)
    var answers = [Answer](repeating: Answer(), count: asked.count)
    var answered = 0
    let progress = ProgressLine(total: asked.count, unit: "answers")
    defer { progress.finish() }
    let clock = ContinuousClock.now
    try batch.run(prompts) { _, _ in
      try ExitCleanup.throwIfEnding()
    } done: { index, answer in
      answers[index] = answer
      answered += 1
      progress.update(answered)
    }
    progress.finish()
    let seconds = (ContinuousClock.now - clock).inSeconds
    let tokens = answers.reduce(0) { $0 + $1.tokens.count }
    let rate = Double(tokens) / seconds
    guard json else {
      for (question, answer) in zip(asked, answers) {
        try Output.write("> \(question)\n")
        try Output.write(answer.text)
        try Output.write("\n\n")
      }
      return Output.note(
        "\(asked.count) answers, \(Units.count(tokens)) tokens in \(Units.seconds(seconds)), "
          + Units.rate(rate, "tokens"))
    }
    let entries = zip(asked, answers).map { question, answer in
      Entry(
        question: question, text: String(decoding: answer.text, as: UTF8.self), tokenIDs: answer.tokens,
        stopped: answer.stopReason.rawValue)
    }
    try Output.json(
      Result(
        answers: entries, sessionTokens: opened.session.info.tokens, tokens: tokens, seconds: seconds,
        tokensPerSecond: rate, compute: opened.model.computeSummary))
  }
}
