import ArgumentParser
import LagoonClient
import LanguageModel
import ToolSupport
import Transformer

struct Generate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Continue a session's document, or answer a question on it.",
    discussion: """
      Runs on a private overlay: the session stays as it is, and any number of these run at once. Greedy unless \
      --temperature is given.

      EXAMPLES
        lagoon-lm generate data/kjv-tiny --session bible --prompt "And God said" --max-tokens 80 --store /var/tmp/lagoon
        lagoon-lm generate data/kjv-tiny --session bible --temperature 0.8 --top-p 0.9 --seed 7 --socket lagoon.sock
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var daemon: DaemonOptions

  @Option(help: "Name of the session.")
  var session: String

  @Option(help: "What follows the document (default: a newline).")
  var prompt = "\n"

  @Option(help: "Most tokens to generate.")
  var maxTokens = 128

  @Option(help: "0 is greedy, 1 as trained, more is wilder.")
  var temperature = 0.0

  @Option(help: "Draw from the likeliest tokens that hold this share of the probability.")
  var topP = 1.0

  @Option(help: "Seed of the draws.")
  var seed: UInt64 = 0

  @Flag(help: "Print the result as JSON at the end instead of streaming it.")
  var json = false

  struct Result: Encodable {
    var text: String
    var tokenIDs: [UInt32]
    var tokens: Int
    var sessionTokens: Int
    var stopped: String
    var seconds: Double
    var tokensPerSecond: Double
    var compute: String

    enum CodingKeys: String, CodingKey {
      case text, tokens, stopped, seconds, compute
      case tokenIDs = "token_ids"
      case sessionTokens = "session_tokens"
      case tokensPerSecond = "tokens_per_second"
    }
  }

  func validate() throws {
    guard (1...1 << 20).contains(maxTokens) else {
      throw ValidationError("--max-tokens \(maxTokens) is not in 1...1048576.")
    }
    guard !prompt.isEmpty else {
      throw ValidationError("--prompt is empty; the model continues from something.")
    }
  }

  func run() throws {
    var sampler = try Sampler(temperature: temperature, topP: topP, seed: seed)
    let decoder = try model.load()
    let tokenizer = try model.tokenizer(decoder.configuration)
    let promptTokens = try tokenizer.encode(Array(prompt.utf8), isBeginning: false)
    let link = try daemon.connect(decoder.configuration, chunk: model.chunk)
    defer { link.close() }
    let overlay = try open(decoder, link.connection, capacity: promptTokens.count + maxTokens)
    let reader = OverlayReader(model: decoder, overlay: overlay, chunk: model.chunk)
    let logits = try reader.read(promptTokens)
    let clock = ContinuousClock.now
    let ids = try reader.generate(from: logits, count: maxTokens, sampler: &sampler) { id in
      try ExitCleanup.throwIfEnding()
      if !json { try Output.write(tokenizer.bytes(of: id)) }
    }
    let seconds = (ContinuousClock.now - clock).inSeconds
    if json {
      try Output.json(
        Result(
          text: String(decoding: tokenizer.decode(ids), as: UTF8.self), tokenIDs: ids, tokens: ids.count,
          sessionTokens: overlay.tokens, stopped: ids.count < maxTokens ? "end_token" : "max_tokens",
          seconds: seconds,
          tokensPerSecond: Double(ids.count) / seconds, compute: decoder.computeSummary))
    } else {
      try Output.write("\n")
    }
  }

  private func open(
    _ decoder: DecoderModel, _ connection: LagoonConnection, capacity: Int
  ) throws -> RemoteOverlay {
    do {
      return try connection.openSession(session, fingerprint: try decoder.fingerprint()).overlay(
        capacity: capacity)
    } catch let error as LagoonError where error.code == .notFound {
      throw ToolError(
        daemon.isTemporary
          ? "there is no session '\(session)' in a new store: pass the --store or --socket of the one that has it"
          : "there is no session '\(session)'; lagoon-lm ingest makes one [notFound]")
    } catch let error as LagoonError where error.code == .otherModel {
      throw ToolError("session '\(session)' was filled by another model than \(model.folder) [otherModel]")
    }
  }
}
