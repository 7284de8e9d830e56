import LagoonClient
import Transformer

/// The exact loss and gradients of one document under LRSA: forward over all chunks, which leaves nothing but the session, then
/// the chunks in reverse: recomputed, and walked backwards. Memory does not grow with the document.
public struct DocumentPass {
  private let decoder: TrainableDecoder
  private let session: RemoteSession
  private let chunk: Int

  /// How far a document is.
  public enum Progress: Sendable {
    /// Tokens read.
    case forward(Int)
    /// Tokens walked back over.
    case backward(Int)
  }

  /// - Parameters:
  ///   - session: new and empty, with an archive; it is the pass's alone.
  ///   - chunk: tokens of a forward pass, a commit and a backward pass.
  public init(decoder: TrainableDecoder, session: RemoteSession, chunk: Int) {
    precondition(chunk > 0)
    self.decoder = decoder
    self.session = session
    self.chunk = chunk
  }

  /// Adds the document's gradients to the decoder's.
  ///
  /// - Parameters:
  ///   - tokens: at least 2; each but the first is predicted.
  ///   - scale: factor of the loss, which is a sum: 1 over the number of targets of the whole optimiser step.
  ///   - progress: called after each chunk of each pass; what it throws ends the work.
  /// - Returns: `scale` times the sum of the cross-entropies, in nats.
  public func run(_ tokens: [UInt32], scale: Double, _ progress: (Progress) throws -> Void = { _ in }) throws
    -> Double
  {
    let attention = DaemonTrainingAttention(session, decoder.configuration)
    let targets = tokens.dropFirst().map(Optional.some) + [nil]
    let chunks = stride(from: 0, to: tokens.count, by: chunk).map { start in
      let range = start..<min(start + chunk, tokens.count)
      return TrainingChunk(tokens[range], targets: targets[range], startPosition: start, attention: attention)
    }
    try session.begin(capacity: chunk)
    for chunk in chunks {
      _ = try decoder.forward([chunk.withoutTargets])
      try session.commit(tokenIDs: chunk.tokens, keepWriting: true)
      try progress(.forward(chunk.startPosition + chunk.tokens.count))
    }
    try session.abort()
    var saved = SavedActivations(decoder.configuration)
    var loss = 0.0
    for chunk in chunks.reversed() {
      try decoder.forward([chunk], saving: &saved)
      loss += try decoder.backward([chunk], saved, scale: scale)
      try progress(.backward(tokens.count - chunk.startPosition))
    }
    return loss
  }
}
