import ArgumentParser
import LagoonClient
import LagoonProtocol
import LanguageModel
import ModelToolSupport
import ToolSupport
import Transformer

struct Ingest: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Put a document through the model into a session.",
    discussion: """
      The session is made if it does not exist. If it does, ingesting goes on where it stands, when model and text are the \
      same; so an interrupted run is repeated as it was, and a text that has grown is passed again whole.

      EXAMPLES
        lagoon-lm ingest data/kjv-tiny --text bible.txt --session bible --ratio 0.25 --socket /run/user/1000/lagoon.sock
        bible -f 'gen1:1-exo40:38' | lagoon-lm ingest data/kjv-tiny --text - --session genesis --store /var/tmp/lagoon
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var daemon: DaemonOptions
  @OptionGroup var retention: RetentionOptions
  @OptionGroup var codec: CodecOption

  @Option(help: "The document: a file, or - for standard input.")
  var text: String

  @Option(help: "Name of the session.")
  var session: String

  @Flag(help: "Also keep every partition whole (new sessions).")
  var archive = false

  @Flag(help: "Print the result as JSON.")
  var json = false

  struct Result: Encodable {
    var session: String
    var tokens: Int
    /// Tokens that the session had before.
    var resumedAt: Int
    var seconds: Double
    var tokensPerSecond: Double
    var storedBytes: Int
    var kept: Int
    var compute: String

    enum CodingKeys: String, CodingKey {
      case session, tokens, seconds, kept, compute
      case resumedAt = "resumed_at"
      case tokensPerSecond = "tokens_per_second"
      case storedBytes = "stored_bytes"
    }
  }

  func run() throws {
    let decoder = try model.load()
    let tokens = try model.tokenizer(decoder.configuration).encode(
      Input.text(text), isBeginning: true)
    guard !tokens.isEmpty else { throw ToolError("\(text) has no tokens") }
    let link = try daemon.connect(decoder.configuration, chunk: model.chunk)
    defer { link.close() }
    if daemon.isTemporary {
      Output.note("note: this session ends with the command; pass --store or --socket to keep it")
    }
    let session = try open(decoder, link.connection, tokens)
    let first = session.info.tokens
    if first > 0, !json {
      Output.note(
        "session '\(self.session)' stands at \(Units.count(first)) of \(Units.count(tokens.count)) tokens")
    }
    let progress = ProgressLine(total: tokens.count, unit: "tokens", first: first)
    if first < tokens.count {
      defer { progress.finish() }
      let feed = SessionFeed(model: decoder, session: session, chunk: model.chunk)
      try feed.run(tokens, from: first, logits: .none) { range, _ in
        progress.update(range.upperBound)
        try ExitCleanup.throwIfEnding()
      }
    }
    let seconds = progress.elapsed
    let details = try link.connection.describe(self.session)
    let result = Result(
      session: self.session, tokens: tokens.count, resumedAt: first, seconds: seconds,
      tokensPerSecond: Double(tokens.count - first) / seconds, storedBytes: details.info.storedBytes,
      kept: details.rowsPerHead, compute: decoder.computeSummary)
    if json { return try Output.json(result) }
    try Output.write(
      """
      \(Units.count(tokens.count - first)) tokens ingested in \(Units.seconds(seconds)), \
      \(Units.rate(result.tokensPerSecond, "tokens")), \(decoder.computeSummary)
      session '\(self.session)': \(Units.count(tokens.count)) tokens, \(Units.count(result.kept)) rows per head kept, \
      \(Units.bytes(result.storedBytes))

      """)
  }

  /// The session, new or where it stands.
  private func open(
    _ decoder: DecoderModel, _ connection: LagoonConnection, _ tokens: [UInt32]
  ) throws -> RemoteSession {
    let fingerprint = try decoder.fingerprint()
    let found: RemoteSession
    do {
      found = try connection.openSession(session, fingerprint: fingerprint)
    } catch {
      switch error.code {
      case .notFound:
        var parameters = try retention.parameters(
          name: session, decoder.configuration, fingerprint: fingerprint, dtype: .bfloat16, codec: codec)
        parameters.archive = archive
        return try connection.createSession(parameters)
      case .otherModel:
        throw ToolError("session '\(session)' was filled by another model than \(model.folder) [otherModel]")
      default: throw error
      }
    }
    try retention.check(against: found.parameters, codec: codec, archive: archive)
    let standing = found.info.tokens
    guard standing <= tokens.count,
      TokenHash.extend(TokenHash.empty, with: tokens[..<standing]) == found.info.tokenHash
    else {
      throw ToolError(
        "session '\(session)' holds \(Units.count(standing)) tokens that are not the first of \(text), which has "
          + "\(Units.count(tokens.count)) [otherText]")
    }
    return found
  }
}

extension SessionDetails {
  /// Rows that a head holds, window included, in the layer that holds fewest (exempt layers hold everything).
  var rowsPerHead: Int { layers.map { $0.keptRows + $0.windowRows }.min() ?? 0 }
}
