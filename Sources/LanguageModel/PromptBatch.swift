import LagoonClient
import Tokenization
import Transformer

/// What follows a session's document, and how long to go on from there.
public struct Prompt: Sendable {
  /// Ids; not empty.
  public var tokens: [UInt32]
  /// Most tokens to generate, at least 1.
  public var maximumTokens: Int
  public var sampler: Sampler
  /// Ends the answer at a stop string.
  public var stream: TextStream

  public init(tokens: [UInt32], maximumTokens: Int, sampler: Sampler, stream: TextStream) {
    self.tokens = tokens
    self.maximumTokens = maximumTokens
    self.sampler = sampler
    self.stream = stream
  }
}

/// What a model generated behind a prompt.
public struct Answer: Sendable, Equatable {
  public enum StopReason: String, Sendable {
    case endToken = "end_token"
    case stopString = "stop_string"
    case maximumTokens = "max_tokens"
  }

  /// Every generated token, an end token not included.
  public internal(set) var tokens: [UInt32] = []
  /// The text before the stop string, if one was reached.
  public internal(set) var text: [UInt8] = []
  public internal(set) var stopReason = StopReason.maximumTokens

  public init() {}
}

/// Answers prompts behind a session's document, several at a time, each on an overlay of its own: the session stays as it is.
///
/// The prompts in work go through the decoder together, so that a step costs little more than for one of them. What each gets
/// is what it would get alone, token for token.
public final class PromptBatch {
  private let model: DecoderModel
  private let tokenizer: any Tokenizer
  private let session: RemoteSession
  private let chunk: Int
  private let width: Int

  /// - Parameters:
  ///   - session: open; not begun by this program.
  ///   - chunk: most tokens of one prompt in a forward pass.
  ///   - width: prompts that are worked on at a time.
  public init(
    model: DecoderModel, tokenizer: any Tokenizer, session: RemoteSession, chunk: Int = 256, width: Int = 4
  ) {
    precondition(chunk > 0 && width > 0)
    self.model = model
    self.tokenizer = tokenizer
    self.session = session
    self.chunk = chunk
    self.width = width
  }

  /// Answers all prompts; the next one begins when another is done.
  ///
  /// - Parameters:
  ///   - text: gets the text of a prompt's answer as soon as it is certain: whole characters, up to a stop string. What it
  ///     throws ends the work.
  ///   - done: gets the index of each prompt that is answered, and the answer.
  public func run(
    _ prompts: [Prompt], text: (Int, [UInt8]) throws -> Void = { _, _ in },
    done: (Int, Answer) throws -> Void = { _, _ in }
  ) throws {
    var waiting = prompts.indices.makeIterator()
    var working: [PromptInWork] = []
    while true {
      while working.count < width, let index = waiting.next() {
        working.append(try begin(prompts[index], index))
      }
      if working.isEmpty { return }
      let chunks = working.map { $0.nextChunk(chunk) }
      let logits = try model.forward(chunks, logits: .last)
      for (prompt, (chunk, logits)) in zip(working, zip(chunks, logits)) {
        let new = prompt.take(logits, behind: chunk.tokens.count, tokenizer, model.configuration.endTokens)
        if !new.isEmpty { try text(prompt.index, new) }
      }
      for prompt in working where prompt.isDone {
        try prompt.overlay.close()
        try done(prompt.index, prompt.answer)
      }
      working.removeAll(where: \.isDone)
    }
  }

  private func begin(_ prompt: Prompt, _ index: Int) throws -> PromptInWork {
    let overlay = try session.overlay(capacity: prompt.tokens.count + prompt.maximumTokens)
    return PromptInWork(prompt, index, overlay, DaemonAttention(overlay, model.configuration))
  }
}

/// A prompt on its overlay: what has been read and generated.
private final class PromptInWork {
  let index: Int
  let overlay: RemoteOverlay
  private(set) var answer = Answer()
  private(set) var isDone = false
  private var prompt: Prompt
  private let attention: DaemonAttention
  /// Position of the next token.
  private var position: Int
  /// Tokens that the decoder has not seen: the rest of the prompt, or the token generated last.
  private var unread: ArraySlice<UInt32>

  init(_ prompt: Prompt, _ index: Int, _ overlay: RemoteOverlay, _ attention: DaemonAttention) {
    precondition(!prompt.tokens.isEmpty && prompt.maximumTokens > 0)
    self.prompt = prompt
    self.index = index
    self.overlay = overlay
    self.attention = attention
    position = overlay.tokens
    unread = prompt.tokens[...]
  }

  func nextChunk(_ most: Int) -> SequenceChunk<DaemonAttention> {
    SequenceChunk(unread.prefix(most), startPosition: position, attention: attention)
  }

  /// Goes on behind a chunk that has been read.
  ///
  /// - Parameter logits: of what follows it.
  /// - Returns: text that is now certain.
  func take(
    _ logits: [Float], behind count: Int, _ tokenizer: any Tokenizer, _ endTokens: [UInt32]
  ) -> [UInt8] {
    position += count
    unread = unread.dropFirst(count)
    guard unread.isEmpty else { return [] }
    let token = prompt.sampler.next(logits)
    if endTokens.contains(token) { return finish(.endToken) }
    answer.tokens.append(token)
    unread = [token]
    let step = prompt.stream.append(tokenizer.bytes(of: token))
    answer.text += step.text
    if step.stopped { return step.text + finish(.stopString) }
    if answer.tokens.count == prompt.maximumTokens { return step.text + finish(.maximumTokens) }
    return step.text
  }

  private func finish(_ reason: Answer.StopReason) -> [UInt8] {
    isDone = true
    answer.stopReason = reason
    let rest = prompt.stream.finish()
    answer.text += rest
    return rest
  }
}
