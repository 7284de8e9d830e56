import Foundation
import LRSATraining
import ModelToolSupport
import Tokenization
import ToolSupport
import TrainingData
import Transformer

/// What `pretrain` and `posttrain` share: from the options to a finished run.
struct TrainingJob {
  let model: ModelOptions
  let data: DataOptions
  let optimizer: OptimizerOptions
  /// Decides on the order of the data and on all that is drawn.
  let seed: UInt64
  let run: RunOptions
  let decoder: TrainableDecoder
  let trained: any TrainedParameters
  /// What is trained, for people.
  let trainedSummary: String
  let rope: RotaryOverride?
  let attention: AttentionSettings?
  let length: Int
  let chunk: Int
  /// Folder of the store that this command's own daemon has; nil without such a daemon.
  let store: String?

  struct Result: Encodable {
    var run: String
    var finished: Bool
    var step: Int
    var lastLoss: Double?
    var bestHeldOutLoss: Double?
    var seconds: Double
    var result: String?

    enum CodingKeys: String, CodingKey {
      case run, finished, step, seconds, result
      case lastLoss = "last_loss"
      case bestHeldOutLoss = "best_held_out_loss"
    }
  }

  var together: Int { optimizer.together ?? min(optimizer.documentsPerStep, 4) }

  /// Trains, with attention of a kind.
  ///
  /// - Parameter source: makes the attention; called once.
  func train<Source: AttentionSource>(_ source: () throws -> Source) throws {
    if run.dryRun { return try estimateOnly(source()) }
    let folder = try RunFolder(run.output)
    if folder.isUsed, !run.resume {
      throw ToolError("\(run.output) holds a run: add --resume to go on with it, or choose another folder")
    }
    let corpus = try self.corpus(spool: folder.data)
    try folder.settle(settings(corpus), resuming: run.resume)
    let source = try source()
    let estimate = TrainingEstimate(self, corpus)
    try estimate.refuseUnlessItFits(in: folder.path, store: store)
    try source.checkRoom(for: estimate.storeBytes)
    let narrator = Narrator(steps: optimizer.steps, isVerbose: run.verbose)
    defer { narrator.finish() }
    let started = ContinuousClock.now
    var result = Result(run: run.output, finished: false, step: 0, seconds: 0)
    let outcome = try ExitCleanup.finishing(withinSeconds: 60) {
      let outcome = try Trainer(
        settings(corpus),
        cadence: .init(
          evaluateEvery: run.evaluateEvery, evaluationDocuments: run.evaluationDocuments,
          checkpointSeconds: run.checkpointSeconds),
        folder: folder, decoder: decoder, model: trained, corpus: corpus, source: source,
        isStopping: { ExitCleanup.endingSignal != nil }
      ) { event in
        narrator.tell(event)
        if case .step(let record) = event { (result.step, result.lastLoss) = (record.step, record.loss) }
        if case .evaluation(let record) = event, record.isBest { result.bestHeldOutLoss = record.loss }
      }.run()
      narrator.finish()
      // Said before the signal's handler may go on to end the process.
      if case .stopped(let step) = outcome {
        Output.note("stopped behind step \(step); add --resume to the same command to go on")
      }
      return outcome
    }
    result.seconds = (ContinuousClock.now - started).inSeconds
    if case .stopped = outcome { return try ExitCleanup.throwIfEnding() }
    result.finished = true
    result.result = folder.result
    try report(result)
  }

  private func report(_ result: Result) throws {
    if run.json { return try Output.json(result) }
    let loss = result.lastLoss.map { String(format: ", last loss %.4f", $0) } ?? ""
    try Output.write(
      "\(result.result ?? run.output): \(Units.count(optimizer.steps)) steps\(loss), in \(Units.seconds(result.seconds))\n"
    )
  }

  private func estimateOnly(_ source: some AttentionSource) throws {
    let folder = FileManager.default.temporaryDirectory.path + "/lagoon-dry-run-\(UUID().uuidString)"
    let token = ExitCleanup.add { try? FileManager.default.removeItem(atPath: folder) }
    defer {
      try? FileManager.default.removeItem(atPath: folder)
      ExitCleanup.remove(token)
    }
    let corpus = try self.corpus(spool: folder + "/data")
    try TrainingEstimate(self, corpus).print(source, json: run.json)
  }

  /// Brings the data into the run's folder, with progress.
  private func corpus(spool: String) throws -> Corpus {
    let tokenizer = try model.tokenizer(decoder.configuration)
    var progress: ProgressLine?
    defer { progress?.finish() }
    let corpus = try Corpus(
      data.sources.map { try DataSource(argument: $0) }, tokenizer: tokenizer,
      tokenizerName: tokenizerName,
      options: CorpusOptions(
        maximumTokens: length, lossOn: data.loss, skipBad: data.skipBad,
        vocabularySize: decoder.configuration.vocabularySize, holdOut: data.holdOut, seed: seed),
      spool: spool
    ) { done, total in
      if progress == nil { progress = ProgressLine(total: total, unit: "bytes") }
      progress?.update(done)
      try ExitCleanup.throwIfEnding()
    }
    for source in corpus.summary.sources where source.skipped > 0 {
      Output.note(
        "\(source.path): \(Units.count(source.skipped)) lines or files left out, the first of them:")
      for bad in source.firstSkipped.prefix(3) { Output.note("  \(bad)") }
    }
    guard corpus.summary.training.pieces > 0 else { throw ToolError("the data hold nothing to train on") }
    return corpus
  }

  /// Changes when the tokenizer's files do.
  private var tokenizerName: String {
    let files = ["tokenizer.json", "tokenizer.model", "tokenizer_config.json"].compactMap { name -> String? in
      let path = model.folder + "/" + name
      guard let attributes = try? FileManager.default.attributesOfItem(atPath: path) else { return nil }
      let changed = (attributes[.modificationDate] as? Date)?.timeIntervalSince1970 ?? 0
      return "\(name) \(attributes[.size] ?? 0) \(changed)"
    }
    return files.isEmpty ? "bytes" : files.joined(separator: ", ")
  }

  func settings(_ corpus: Corpus) -> RunSettings {
    RunSettings(
      model: model.folder, corpus: String(corpus.fingerprint, radix: 16), maximumTokens: length,
      documentsPerStep: optimizer.documentsPerStep, documentsTogether: together, chunk: chunk,
      compute: model.compute.rawValue, ropeFrequencies: model.ropeFrequencies.rawValue, rope: rope,
      schedule: optimizer.schedule, optimizer: optimizer.optimizer,
      clip: optimizer.clip > 0 ? optimizer.clip : nil, spikeFactor: optimizer.skipSpikes,
      seed: seed, attention: attention, trained: trainedSummary)
  }
}
