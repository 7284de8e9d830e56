import Transformer

/// Attention of one document in training, and what happens to it between the passes: its first pass commits each chunk, its
/// second walks back.
public protocol DocumentAttention: TrainingAttention {
  /// A chunk of the first pass has gone through all layers.
  ///
  /// - Parameter tokens: the chunk's ids.
  func commit(_ tokens: [UInt32]) throws

  /// The first pass is over: nothing is appended any more.
  func endForward() throws

  /// The document is done with, however far it came. Throws nothing: what goes wrong here no longer matters.
  func close()

  /// The positions that were chosen to be kept, sinks and window left out: of each layer and KV head one ascending list; nil
  /// where everything is kept.
  func chosenPositions() throws -> [[UInt32]]?
}

/// Where documents in training get their attention from.
public protocol AttentionSource: AnyObject {
  associatedtype Attention: DocumentAttention

  /// Attention of a document that begins.
  ///
  /// - Parameters:
  ///   - number: of the document in the run, from 0: with the run's seed it decides on all that is drawn for the document.
  ///     nil: an evaluation, for which nothing is drawn.
  ///   - tokens: of the document.
  func attention(document number: Int?, tokens: Int) throws -> Attention

  /// Refuses a run whose documents need more room than there is.
  ///
  /// - Parameter bytes: of rows and accumulators at their most, over documents that go together.
  func checkRoom(for bytes: Int) throws

  /// After a failure: makes ready for trying the document again.
  ///
  /// - Parameter giveUp: asked while it waits: whether to stop waiting.
  /// - Returns: false when trying again cannot help.
  func recover(from error: any Error, giveUp: () -> Bool) throws -> Bool
}
