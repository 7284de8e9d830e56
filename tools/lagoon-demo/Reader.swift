import Foundation
import LagoonClient
import LanguageModel
import Tokenization
import ToolSupport
import Transformer

/// The model with a connection to the daemon: what the demo does with sessions.
struct Reader {
  static let sinks = 16
  static let lag = 64
  static let chunk = 256

  let model: DecoderModel
  let fingerprint: [UInt8]
  let connection: LagoonConnection

  init(model: DecoderModel, socketPath: String) throws {
    self.model = model
    fingerprint = try model.fingerprint()
    connection = try LagoonConnection(
      socketPath: socketPath, clientName: "lagoon-demo",
      arenaBytes: DaemonAttention.arenaBytes(model.configuration, chunk: Self.chunk))
  }

  /// Puts a text through the model into a new session.
  /// - Returns: seconds that it took.
  func ingest(_ text: [UInt8], into plan: SessionPlan) throws -> Double {
    let c = model.configuration
    let session = try connection.createSession(
      SessionParameters(
        name: plan.name, layers: c.layers, kvHeads: c.kvHeads, headDim: c.headDim, elementType: .bfloat16,
        policy: plan.ratio == nil ? .full : .lagkv, sinks: Self.sinks, lag: Self.lag, ratio: plan.ratio ?? 1,
        fingerprint: fingerprint))
    let progress = ProgressLine(total: text.count, unit: "tokens")
    defer { progress.finish() }
    try SessionFeed(model: model, session: session, chunk: Self.chunk).run(
      text.map(UInt32.init), from: 0, logits: .none
    ) { range, _ in
      progress.update(range.upperBound)
      try ExitCleanup.throwIfEnding()
    }
    try session.close()
    return progress.elapsed
  }

  /// The likeliest bytes behind `prompt`, which follows the session's document.
  func continuation(of session: String, prompt: [UInt8], count: Int) throws -> [UInt8] {
    try ExitCleanup.throwIfEnding()
    let batch = PromptBatch(
      model: model, tokenizer: ByteTokenizer(),
      session: try connection.openSession(session, fingerprint: fingerprint), chunk: Self.chunk)
    let prompt = Prompt(
      tokens: prompt.map(UInt32.init), maximumTokens: count, sampler: try Sampler(), stream: try TextStream())
    var text: [UInt8] = []
    try batch.run([prompt], done: { _, answer in text = answer.text })
    return text
  }

  /// Bits that each byte of `text` but the first costs, given the session's document and the text before it.
  func bitsPerByte(of text: [UInt8], after session: String) throws -> Double {
    let sum = try overlay(session, capacity: text.count).negativeLogLikelihood(of: text.map(UInt32.init))
    return sum / log(2) / Double(text.count - 1)
  }

  private func overlay(_ session: String, capacity: Int) throws -> OverlayReader {
    try ExitCleanup.throwIfEnding()
    let overlay = try connection.openSession(session, fingerprint: fingerprint).overlay(capacity: capacity)
    return OverlayReader(model: model, overlay: overlay, chunk: Self.chunk)
  }
}

/// A session that the demo makes.
struct SessionPlan {
  let name: String
  /// Share of every partition that is kept; `nil`: everything.
  let ratio: Double?

  static let all = [
    SessionPlan(name: "full", ratio: nil), SessionPlan(name: "2x", ratio: 0.5),
    SessionPlan(name: "4x", ratio: 0.25), SessionPlan(name: "8x", ratio: 0.125),
  ]
}
