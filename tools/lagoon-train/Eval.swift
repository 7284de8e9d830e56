import ArgumentParser
import Evaluation
import LagoonClient
import ModelToolSupport
import RecallTasks
import Tokenization
import ToolSupport
import Transformer

struct Eval: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure what a model recalls, or how well it predicts, under several retention policies.",
    discussion: """
      Each document is read under the policy. Where something is asked, the model goes on greedily on an overlay; the document \
      is then read on as it is written. numbers: planted in --text, or from a file that plant wrote. passkey: LagKV's 64 digits \
      (arXiv 2504.04704); niah-*, variable-tracking, frequent-words: RULER's (arXiv 2404.06654). Their length counts tokens, \
      question included. bits-per-byte reads --text in pieces of --length tokens and reports by position.

      EXAMPLES
        lagoon-train eval data/kjv-tiny --task numbers --text kjv.txt --hold-out 0.05 --held-out --numbers 8 --lag 64 --sinks 4 \\
          --keep full --keep lagkv:0.5 --keep random:0.5
        lagoon-train eval data/kjv-tiny --task numbers --from test.jsonl --keep lagkv:0.25 --json --details
        lagoon-train eval meta-llama --task niah-multikey-2 --length 16384 --documents 50 --keep full --keep lagkv:0.25
        lagoon-train eval data/kjv-tiny --task bits-per-byte --text kjv.txt --from-byte 3930957 --length 65536 --keep lagkv:0.125
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var daemon: DaemonOptions
  @OptionGroup var retention: RetentionOptions

  @Option(help: "What to measure.")
  var task: EvalTask

  @Option(
    help: ArgumentHelp(
      "A policy and its ratio, such as lagkv:0.25, full, streaming. May be given more than once.",
      discussion: "Default: --policy and --ratio. --sinks, --lag and the rest hold for all.",
      valueName: "policy[:ratio]"))
  var keep: [KeepOption] = []

  @OptionGroup var planting: PlantingOptions

  @Option(
    help: ArgumentHelp(
      "Planted documents, or for bits-per-byte any {\"text\"} lines: a .jsonl file.", valueName: "file"))
  var from: String?

  @Option(help: "Most documents.")
  var documents = 100

  @Option(help: "Seed of the documents that are made.")
  var documentSeed: UInt64 = 1

  @Flag(help: "Print the results as JSON, with what each layer keeps.")
  var json = false

  @Flag(help: "With --json: every question's answer, too.")
  var details = false

  func validate() throws {
    guard documents >= 1 else {
      throw ValidationError("--documents \(documents): there is nothing to measure.")
    }
    if !keep.isEmpty, retention.policy != nil || retention.ratio != nil {
      throw ValidationError("--keep says policy and ratio; leave out --policy and --ratio.")
    }
    if details, !json { throw ValidationError("--details goes with --json.") }
    if from != nil, planting.text != nil { throw ValidationError("--from goes without --text.") }
    if from != nil || planting.text != nil, task != .bitsPerByte, task != .recall(.numbers) {
      throw ValidationError(
        "--from and --text go with --task numbers and bits-per-byte; the others make their documents.")
    }
  }

  func run() throws {
    let decoder = try model.load()
    let tokenizer = try model.tokenizer(decoder.configuration)
    let source = EvalSource(
      task: task, from: from, planting: planting, documents: documents, seed: documentSeed,
      gap: 2 * (retention.lag ?? RetentionOptions.defaultLag))
    // Made before a daemon is started: whatever is wrong with them is said at once.
    switch task {
    case .bitsPerByte:
      let texts = try source.tokens(tokenizer)
      try onDaemon(decoder) { try predict(texts, decoder, tokenizer, $0, $1) }
    case .recall(let task):
      let documents = try source.recallDocuments(tokenizer)
      try onDaemon(decoder) { try ask(documents, task, decoder, tokenizer, $0, $1) }
    }
  }

  private func onDaemon(
    _ decoder: DecoderModel, _ body: (LagoonConnection, [SessionParameters]) throws -> Void
  ) throws {
    let parameters = try sessions(decoder)
    let link = try daemon.connect(decoder.configuration, chunk: model.chunk)
    defer { link.close() }
    try ExitCleanup.finishing(withinSeconds: 5) { try body(link.connection, parameters) }
  }

  /// A session's parameters for each policy that was asked for.
  private func sessions(_ decoder: DecoderModel) throws -> [SessionParameters] {
    let fingerprint = try decoder.fingerprint()
    let common = try retention.parameters(
      name: "eval", decoder.configuration, fingerprint: fingerprint, dtype: .float32)
    if keep.isEmpty { return [common] }
    return keep.map { keep in
      var parameters = common
      parameters.policy = keep.policy
      parameters.ratio = keep.ratio ?? (keep.policy.takesRatio ? RetentionOptions.defaultRatio : 1)
      return parameters
    }
  }

  private func ask(
    _ documents: [RecallDocument], _ task: RecallTask, _ decoder: DecoderModel, _ tokenizer: any Tokenizer,
    _ connection: LagoonConnection, _ sessions: [SessionParameters]
  ) throws {
    let evaluation = RecallEvaluation(
      model: decoder, tokenizer: tokenizer, connection: connection, chunk: model.chunk)
    let progress = ProgressLine(total: documents.count * sessions.count, unit: "documents")
    defer { progress.finish() }
    var results: [RecallResult] = []
    for (index, parameters) in sessions.enumerated() {
      results.append(
        try evaluation.run(documents, parameters: parameters, scoring: task.scoring) { done in
          progress.update(index * documents.count + done)
          try ExitCleanup.throwIfEnding()
        })
    }
    progress.finish()
    try EvalReport(model: model.folder, task: self.task.name, compute: decoder.computeSummary)
      .write(results, json: json, details: details)
  }

  private func predict(
    _ texts: [[UInt32]], _ decoder: DecoderModel, _ tokenizer: any Tokenizer,
    _ connection: LagoonConnection, _ sessions: [SessionParameters]
  ) throws {
    let evaluation = BitsPerByteEvaluation(
      model: decoder, tokenizer: tokenizer, connection: connection, chunk: model.chunk)
    let total = texts.reduce(0) { $0 + $1.count }
    let progress = ProgressLine(total: total * sessions.count, unit: "tokens")
    defer { progress.finish() }
    var results: [BitsPerByteResult] = []
    for (index, parameters) in sessions.enumerated() {
      results.append(
        try evaluation.run(texts, parameters: parameters) { done in
          progress.update(index * total + done)
          try ExitCleanup.throwIfEnding()
        })
    }
    progress.finish()
    try EvalReport(model: model.folder, task: task.name, compute: decoder.computeSummary)
      .write(results, json: json)
  }
}
