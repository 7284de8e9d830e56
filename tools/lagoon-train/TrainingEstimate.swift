import Foundation
import LRSATraining
import LagKV
import ToolSupport
import TrainingData
import Transformer

/// What a run takes: parameters, memory, disk, time.
struct TrainingEstimate: Encodable {
  let parameters: Int
  let trainedParameters: Int
  let trainingTokens: Int
  let stepTokens: Int
  /// Of the trainer.
  let memoryBytes: Int
  /// Of the run's folder: tokens, checkpoints, the result.
  let folderBytes: Int
  /// Of the daemon's store while documents are on their way, accumulators included.
  let storeBytes: Int
  private(set) var secondsPerStep: Double?
  private(set) var seconds: Double?
  private let job: TrainingJob
  private let corpus: Corpus

  enum CodingKeys: String, CodingKey {
    case parameters, seconds
    case trainedParameters = "trained_parameters"
    case trainingTokens = "training_tokens"
    case stepTokens = "step_tokens_at_most"
    case memoryBytes = "memory_bytes"
    case folderBytes = "folder_bytes"
    case storeBytes = "store_bytes"
    case secondsPerStep = "seconds_per_step"
  }

  init(_ job: TrainingJob, _ corpus: Corpus) {
    self.job = job
    self.corpus = corpus
    let c = job.decoder.configuration
    parameters = job.decoder.weights.layout.count
    trainedParameters = job.trained.parameters.layout.count
    trainingTokens = corpus.summary.training.tokens
    stepTokens = job.optimizer.documentsPerStep * job.length
    let rows = job.together * min(job.chunk, job.length)
    let optimizerBytes = 4 * (2 * parameters + 2 * trainedParameters)
    // Weights once more in the matmuls' layouts; activations of a chunk; as much again for what is computed from them.
    memoryBytes =
      optimizerBytes + 8 * parameters + rows * SavedActivations.bytesPerToken(c) * 3 / 2
      + 12 * job.together * job.length
    folderBytes =
      4 * (trainingTokens + corpus.summary.heldOut.tokens) + 3 * 12 * trainedParameters + 2 * 4 * parameters
    storeBytes = job.attention.map { Self.store($0, c, tokens: job.length) * job.together } ?? 0
  }

  /// `2·N·H·D·b·(T + kept)` of rows and archive, `8·N·H·D·kept` of accumulators, for the choice that keeps most.
  private static func store(_ attention: AttentionSettings, _ c: ModelConfiguration, tokens: Int) -> Int {
    let width = c.layers * c.kvHeads * c.headDim
    let bytes = ElementType(name: attention.dtype)?.byteCount ?? 4
    let kept = attention.choices.map { choice -> Int in
      let policy = PolicyKind(name: choice.policy) ?? .full
      let parameters = try? RetentionParameters(
        policy: policy, sinks: attention.sinks, lag: attention.lag, ratio: choice.ratio)
      return parameters?.geometry(layer: 0).totalRows(tokens) ?? tokens
    }
    return 2 * width * bytes * (tokens + (kept.max() ?? tokens)) + 8 * width * (kept.max() ?? tokens)
  }

  /// - Parameters:
  ///   - folder: the run's.
  ///   - store: where this command's own daemon keeps its store; nil when a daemon that is running is used, which has its quota.
  /// - Throws: when a disk has no room.
  func refuseUnlessItFits(in folder: String, store: String?) throws {
    var needs = [(folder, folderBytes, "choose another folder with -o")]
    if let store, storeBytes > 0 {
      if try Self.fileSystem(of: store) == Self.fileSystem(of: folder) {
        needs = [(folder, folderBytes + storeBytes, "choose another folder with -o, or with --store")]
      } else {
        needs.append((store, storeBytes, "choose another folder with --store"))
      }
    }
    for (folder, bytes, remedy) in needs {
      let free = try FileManager.default.attributesOfFileSystem(forPath: folder)[.systemFreeSize] as? NSNumber
      guard let free = free?.intValue, free < bytes else { continue }
      throw ToolError(
        "the run needs about \(Units.bytes(bytes)) in \(folder), where \(Units.bytes(free)) are free: \(remedy), or make room"
      )
    }
  }

  private static func fileSystem(of folder: String) throws -> Int? {
    (try FileManager.default.attributesOfFileSystem(forPath: folder)[.systemNumber] as? NSNumber)?.intValue
  }

  /// Times a few chunks of the first document, then prints.
  func print(_ source: some AttentionSource, json: Bool) throws {
    var estimate = self
    let rate = try measuredRate(source)
    let seconds = Double(min(stepTokens, averageStepTokens)) / rate
    estimate.secondsPerStep = seconds
    estimate.seconds = seconds * Double(job.optimizer.steps)
    if json { return try Output.json(estimate) }
    try Output.write(
      """
      parameters   \(Units.count(parameters)), of which \(Units.count(trainedParameters)) are trained (\(job.trainedSummary))
      data         \(Units.count(trainingTokens)) tokens; a step reads at most \(Units.count(stepTokens))
      memory       about \(Units.bytes(memoryBytes)) in this process
      disk         about \(Units.bytes(folderBytes)) in the run's folder\
      \(storeBytes > 0 ? ", \(Units.bytes(storeBytes)) in the daemon's store meanwhile" : "")
      time         about \(Units.seconds(seconds)) a step, \(Units.seconds(seconds * Double(job.optimizer.steps))) in all \
      (\(Units.rate(rate, "tokens")) measured)

      """)
  }

  /// Tokens of a step as the data have them, from the first draws.
  private var averageStepTokens: Int {
    var order = corpus.order(seed: job.seed)
    let lengths = (0..<16).compactMap { _ in (try? corpus.document(order.next()))?.tokens.count }
    return lengths.reduce(0, +) * job.optimizer.documentsPerStep / max(lengths.count, 1)
  }

  /// Tokens per second of both passes, over some chunks of the first documents. The gradients are thrown away.
  private func measuredRate<Source: AttentionSource>(_ source: Source) throws -> Double {
    var order = corpus.order(seed: job.seed)
    let tokens = try corpus.document(order.next()).tokens.prefix(max(4 * job.chunk, 1024))
    defer { job.decoder.gradients.setToZero() }
    var seconds = Double.infinity
    // The first time pays for what is compiled when it is first needed.
    for _ in 0..<2 {
      let attention = try source.attention(document: 0, tokens: tokens.count)
      defer { attention.close() }
      let started = ContinuousClock.now
      _ = try BatchPass(decoder: job.decoder, chunk: job.chunk).run(
        [.init(Array(tokens), attention: attention)], scale: 1)
      seconds = (ContinuousClock.now - started).inSeconds
    }
    return Double(tokens.count) / seconds
  }
}
