import LagoonClient
import TrainingData
import Transformer

extension Trainer {
  /// Attention for some documents, closed when `body` is done with it, however it ends.
  ///
  /// - Parameter first: number of the first document in the run; nil: an evaluation.
  func withAttention<Result>(
    of documents: [TrainingDocument], first: Int?,
    _ body: ([BatchPass<Source.Attention>.Document]) throws -> Result
  ) throws -> Result {
    var lanes: [BatchPass<Source.Attention>.Document] = []
    defer { for lane in lanes { lane.attention.close() } }
    for (index, document) in documents.enumerated() {
      lanes.append(
        BatchPass.Document(
          tokens: document.tokens, targets: document.targets,
          attention: try source.attention(document: first.map { $0 + index }, tokens: document.tokens.count)))
    }
    return try body(lanes)
  }

  /// Runs `body` until it comes through: what a daemon's death spoils is undone and done again.
  ///
  /// - Parameter undo: called after each failure.
  func retrying<Result>(undo: () -> Void, body: () throws -> Result) throws -> Result {
    var attempts = 0
    while true {
      do {
        return try body()
      } catch {
        undo()
        try stopIfAsked()
        attempts += 1
        let isReady = try attempts < Self.attempts && source.recover(from: error, giveUp: isStopping)
        try stopIfAsked()
        guard isReady else { throw error }
        observe(.note(step: state.step, "trying again after: \(error)"))
      }
    }
  }

  /// How often the same documents are tried.
  private static var attempts: Int { 5 }
}
