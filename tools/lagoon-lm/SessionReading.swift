import ArgumentParser
import LagoonClient
import LanguageModel
import ModelToolSupport
import Tokenization
import ToolSupport
import Transformer

/// A session that is read from and left as it is.
struct SessionReading: ParsableArguments {
  @OptionGroup var model: ModelOptions
  @OptionGroup var daemon: DaemonOptions

  @Option(help: "Name of the session.")
  var session: String

  /// The model, its tokenizer and the session, for as long as `body` takes.
  ///
  /// - Parameter prepare: makes the prompts; whatever is wrong with them is said before a daemon is started.
  func run<Prompts, Result>(
    prepare: (any Tokenizer) throws -> Prompts, _ body: (Prompts, Opened) throws -> Result
  ) throws -> Result {
    let decoder = try model.load()
    let tokenizer = try model.tokenizer(decoder.configuration)
    let prompts = try prepare(tokenizer)
    let link = try daemon.connect(decoder.configuration, chunk: model.chunk)
    defer { link.close() }
    return try body(
      prompts, Opened(model: decoder, tokenizer: tokenizer, session: try open(decoder, link.connection)))
  }

  struct Opened {
    let model: DecoderModel
    let tokenizer: any Tokenizer
    let session: RemoteSession
  }

  private func open(_ decoder: DecoderModel, _ connection: LagoonConnection) throws -> RemoteSession {
    do {
      return try connection.openSession(session, fingerprint: try decoder.fingerprint())
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
