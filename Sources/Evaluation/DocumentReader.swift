import LagoonClient
import LanguageModel
import Transformer

/// Reads one document into a session, as far as it is told to.
final class DocumentReader {
  let session: RemoteSession
  private(set) var attention: MeteredAttention
  /// Tokens read.
  private(set) var position = 0
  private let model: DecoderModel
  private let chunk: Int

  init(model: DecoderModel, session: RemoteSession, chunk: Int) {
    self.model = model
    self.session = session
    self.chunk = chunk
    attention = MeteredAttention(DaemonAttention(session, model.configuration), model.configuration)
  }

  /// Reads on; overlays can be made on what has been read when this returns.
  ///
  /// - Parameter each: gets the range of each chunk, in `tokens`, and its logits, of the rows that were asked for.
  func read(
    _ tokens: [UInt32], logits rows: LogitRows = .none,
    _ each: (Range<Int>, [Float]) throws -> Void = { _, _ in }
  ) throws {
    guard !tokens.isEmpty else { return }
    try session.begin(capacity: chunk)
    for start in stride(from: 0, to: tokens.count, by: chunk) {
      let range = start..<min(start + chunk, tokens.count)
      let logits = try model.forward(
        tokens[range], startPosition: position, attention: attention, logits: rows)
      try session.commit(tokenIDs: Array(tokens[range]), keepWriting: range.upperBound < tokens.count)
      position += range.count
      try each(range, logits)
    }
  }

  /// How likely an answer is behind a prompt, on an overlay of its own.
  ///
  /// - Returns: the sum of `-log p`, natural logarithm, over the answer's tokens; and whether each of them is the likeliest,
  ///   so that going on greedily gives the answer.
  func judge(
    _ answer: [UInt32], behind prompt: [UInt32]
  ) throws -> (negativeLogLikelihood: Double, isGreedy: Bool) {
    let tokens = prompt + answer
    let overlay = try session.overlay(capacity: tokens.count)
    let attention = DaemonAttention(overlay, model.configuration)
    let width = model.configuration.vocabularySize
    var (sum, isGreedy) = (0.0, true)
    var greedy = try Sampler()
    for start in stride(from: 0, to: tokens.count, by: chunk) {
      let range = start..<min(start + chunk, tokens.count)
      let logits = try model.forward(
        tokens[range], startPosition: position + start, attention: attention, logits: .all)
      for index in range where index + 1 < tokens.count && index + 1 >= prompt.count {
        let row = logits[(index - start) * width..<(index - start + 1) * width]
        sum += CrossEntropy.negativeLogLikelihood(row, target: tokens[index + 1])
        isGreedy = isGreedy && greedy.next(row) == tokens[index + 1]
      }
    }
    try overlay.close()
    return (sum, isGreedy)
  }
}
