import Foundation
import LagoonClient
import RunRecord
import TrainingData
import Transformer

/// A training run: steps over documents, held-out evaluations, checkpoints.
///
/// The result depends on the settings, the model and the data alone: a run that was stopped, killed, or whose daemon was killed,
/// and that was resumed, ends with the same bytes.
public final class Trainer<Source: AttentionSource> {
  /// How often things are done that have no influence on the result.
  public struct Cadence: Sendable {
    /// Steps between evaluations; nil: none.
    public var evaluateEvery: Int?
    /// Held-out documents of an evaluation, at most.
    public var evaluationDocuments: Int
    /// Least seconds between checkpoints; 0: one after every group of documents.
    public var checkpointSeconds: Double

    public init(evaluateEvery: Int? = nil, evaluationDocuments: Int = 16, checkpointSeconds: Double = 60) {
      self.evaluateEvery = evaluateEvery
      self.evaluationDocuments = evaluationDocuments
      self.checkpointSeconds = checkpointSeconds
    }
  }

  let settings: RunSettings
  let cadence: Cadence
  let folder: RunFolder
  let decoder: TrainableDecoder
  let model: any TrainedParameters
  let corpus: Corpus
  let source: Source
  let observe: (TrainingEvent) -> Void
  let isStopping: () -> Bool
  let checkpoints: RunCheckpoints
  var optimizer: AdamW
  var state: RunState
  var runLog: RunLog
  private var lastCheckpoint = ContinuousClock.now

  /// Sets a run up, at its last checkpoint if it has one.
  ///
  /// - Parameters:
  ///   - folder: settled with the settings.
  ///   - model: of the decoder, as it is before the first step.
  ///   - isStopping: asked after every chunk.
  public init(
    _ settings: RunSettings, cadence: Cadence, folder: RunFolder, decoder: TrainableDecoder,
    model: any TrainedParameters, corpus: Corpus, source: Source, isStopping: @escaping () -> Bool,
    observe: @escaping (TrainingEvent) -> Void
  ) throws {
    self.settings = settings
    self.cadence = cadence
    self.folder = folder
    self.decoder = decoder
    self.model = model
    self.corpus = corpus
    self.source = source
    self.isStopping = isStopping
    self.observe = observe
    checkpoints = RunCheckpoints(folder: folder.checkpoints)
    optimizer = AdamW(layout: model.parameters.layout, settings: settings.optimizer)
    let restored = try checkpoints.restore(model, &optimizer, gradients: decoder.gradients)
    state =
      restored
      ?? RunState(
        order: corpus.order(seed: settings.seed), spikes: settings.spikeFactor.map(SpikeFilter.init))
    runLog = try RunLog(folder: folder.path, keepingThroughStep: state.step)
    if let restored {
      try runLog.append(
        EventRecord(
          step: restored.step, what: .resume,
          detail: "\(restored.documentsOfStep) documents of the next step were done"))
    }
  }

  /// Trains to the end, or until it is asked to stop.
  ///
  /// - Throws: `TrainingError` for a loss that is not finite, with the document and the checkpoint that is left; what the data,
  ///   the attention and the disk throw.
  public func run() throws -> TrainingOutcome {
    observe(.began(step: state.step))
    do {
      while true {
        if isEvaluationDue { try evaluate() }
        if state.step > 0 || state.documentsOfStep > 0 { try checkpointIfDue() }
        if state.step == settings.schedule.steps { break }
        try runStep()
      }
    } catch is Stopped {
      // What was under way has been undone; what was finished is kept.
      try checkpoint()
      return .stopped(step: state.step)
    }
    try checkpoint()
    try model.save(to: folder.result)
    try runLog.close()
    return .finished
  }

  private var isEvaluationDue: Bool {
    guard let every = cadence.evaluateEvery, corpus.heldOutCount > 0, state.documentsOfStep == 0,
      state.evaluatedStep != state.step
    else { return false }
    return state.step % every == 0 || state.step == settings.schedule.steps
  }

  /// Somebody asked the run to stop.
  struct Stopped: Error {}

  func stopIfAsked() throws {
    if isStopping() { throw Stopped() }
  }

  // MARK: A step

  private func runStep() throws {
    var order = state.order
    let draws = (0..<settings.documentsPerStep).map { _ in order.next() }
    var targets = 0
    for draw in draws { targets += try corpus.document(draw).targetCount }
    while state.documentsOfStep < draws.count {
      try stopIfAsked()
      let group = draws[state.documentsOfStep...].prefix(settings.documentsTogether)
      try run(Array(group), targets: targets)
      if state.documentsOfStep < draws.count { try checkpointIfDue() }
    }
    try finishStep(draws, order, targets)
  }

  /// Brings the gradients of a group of documents in, all or none.
  private func run(_ draws: [Draw], targets: Int) throws {
    let started = ContinuousClock.now
    let documents = try draws.map { try corpus.document($0) }
    let before = state.documentsOfStep == 0 ? nil : decoder.gradients.copy()
    let first = state.documents + state.documentsOfStep
    let loss = try retrying(
      undo: { if let before { decoder.gradients.take(before) } else { decoder.gradients.setToZero() } },
      body: { try addGradients(of: documents, first: first, targets: targets) })
    state.lossOfStep += loss
    state.documentsOfStep += draws.count
    state.secondsOfStep += (ContinuousClock.now - started) / .seconds(1)
  }

  /// - Returns: the documents' part of the step's loss.
  private func addGradients(of documents: [TrainingDocument], first: Int, targets: Int) throws -> Double {
    try withAttention(of: documents, first: first) { lanes in
      let pass = BatchPass<Source.Attention>(decoder: decoder, chunk: settings.chunk)
      do {
        return try pass.run(lanes, scale: 1 / Double(targets)) {
          observe(.pass(step: state.step, documents: state.documentsOfStep, $0))
          try stopIfAsked()
        }
      } catch let failure as NonFiniteLoss {
        let origin = documents[failure.document].origin
        throw notFinite("the loss of \(origin) is not finite in the chunk at token \(failure.token)")
      } catch let failure as LagoonError where failure.code == .nonFinite {
        let origins = documents.map(\.origin).joined(separator: ", ")
        throw notFinite("activations of \(origins) are not finite: \(failure.message)")
      }
    }
  }

  private func finishStep(_ draws: [Draw], _ order: DataOrder, _ targets: Int) throws {
    let started = ContinuousClock.now
    observe(.optimizer(step: state.step))
    try model.collectGradients()
    let norm = model.gradients.norm()
    guard norm.isFinite else { throw notFinite("the gradient is not finite") }
    let rate = settings.schedule.rate(step: state.step)
    let median = state.spikes?.median
    let skipped = state.spikes?.isSpike(state.lossOfStep) ?? false
    if !skipped {
      let scale = settings.clip.map { norm > $0 ? $0 / norm : 1 } ?? 1
      optimizer.update(
        model.parameters, model.gradients, learningRate: rate, gradientScale: scale, decays: model.decays)
      try model.apply()
    }
    decoder.gradients.setToZero()
    var tokens = 0
    for draw in draws { tokens += try corpus.document(draw).tokens.count }
    let seconds = state.secondsOfStep + (ContinuousClock.now - started) / .seconds(1)
    let loss = state.lossOfStep
    state.order = order
    state.step += 1
    state.tokens += tokens
    state.documents += draws.count
    state.documentsOfStep = 0
    state.lossOfStep = 0
    state.secondsOfStep = 0
    state.optimizerSteps = optimizer.steps
    let record = StepRecord(
      step: state.step, tokens: state.tokens, documents: draws.count, loss: loss, targets: targets,
      learningRate: rate, gradientNorm: norm, seconds: seconds, tokensPerSecond: Double(tokens) / seconds,
      skipped: skipped ? "loss spike: recent median \(median ?? 0)" : nil)
    try runLog.append(record)
    observe(.step(record))
  }

  private func notFinite(_ what: String) -> TrainingError {
    let last = checkpoints.list().last.map { "the last good checkpoint is \(folder.checkpoints)/\($0)" }
    return TrainingError(
      "\(what), in step \(state.step + 1); \(last ?? "there is no checkpoint yet"). A lower --learning-rate, a smaller "
        + "--clip or --skip-spikes may help")
  }

  // MARK: Checkpoints

  private func checkpointIfDue() throws {
    if (ContinuousClock.now - lastCheckpoint) / .seconds(1) >= cadence.checkpointSeconds { try checkpoint() }
  }

  private func checkpoint() throws {
    observe(.checkpoint(step: state.step))
    try runLog.synchronize()
    try checkpoints.write(
      state, model, optimizer, gradients: state.documentsOfStep > 0 ? decoder.gradients : nil)
    lastCheckpoint = .now
  }
}
