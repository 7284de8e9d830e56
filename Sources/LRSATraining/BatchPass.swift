import Transformer

/// The exact loss and gradients of some documents: forward over all chunks, which leaves nothing but what their attention
/// keeps, then the chunks in reverse: recomputed, and walked backwards. Memory does not grow with the documents.
///
/// The documents advance in lock-step: chunk `c` of each of them is part of one batch, whose tokens are the rows of the same
/// matmuls. The result of each document is what it would be alone.
public struct BatchPass<Attention: DocumentAttention> {
  /// A document on its way.
  public struct Document {
    public let tokens: [UInt32]
    /// `[tokens]`: what each token is to predict; nil for nothing.
    public let targets: [UInt32?]
    public let attention: Attention

    public init(tokens: [UInt32], targets: [UInt32?], attention: Attention) {
      precondition(tokens.count == targets.count)
      self.tokens = tokens
      self.targets = targets
      self.attention = attention
    }

    /// Each token but the last predicts its successor.
    public init(_ tokens: [UInt32], attention: Attention) {
      self.init(
        tokens: tokens, targets: tokens.dropFirst().map(Optional.some) + [nil], attention: attention)
    }
  }

  private let decoder: TrainableDecoder
  private let chunk: Int

  /// - Parameter chunk: tokens of a document in a forward pass, a commit and a backward pass.
  public init(decoder: TrainableDecoder, chunk: Int) {
    precondition(chunk > 0)
    self.decoder = decoder
    self.chunk = chunk
  }

  /// Adds the documents' gradients to the decoder's.
  ///
  /// - Parameters:
  ///   - documents: their attention is new, and closed by the caller.
  ///   - scale: factor of the loss, which is a sum: 1 over the number of targets of the whole optimiser step.
  ///   - progress: called after each chunk; what it throws ends the work.
  /// - Returns: `scale` times the sum of the cross-entropies, in nats.
  /// - Throws: ``NonFiniteLoss``; what attentions and `progress` throw. The gradients then hold part of the documents'.
  public func run(
    _ documents: [Document], scale: Double, _ progress: (PassProgress) throws -> Void = { _ in }
  ) throws -> Double {
    let lanes = documents.map { Lane($0, chunk: chunk) }
    let count = lanes.map(\.chunks).max() ?? 0
    var counter = PassProgress(phase: .forward, done: 0, total: lanes.reduce(0) { $0 + $1.length })
    var saved = SavedActivations(decoder.configuration)
    for index in 0..<count {
      let batch = lanes.compactMap { $0[index] }
      // The last chunks turn around at once: what the way back needs of them is kept already on the way there.
      if index == count - 1 {
        try decoder.forward(batch, saving: &saved)
      } else {
        _ = try decoder.forward(batch.map(\.withoutTargets))
      }
      for chunk in batch { try chunk.attention.commit(chunk.tokens) }
      try counter.add(batch, progress)
    }
    for lane in lanes { try lane.document.attention.endForward() }
    counter = PassProgress(phase: .backward, done: 0, total: counter.total)
    var loss = 0.0
    for index in (0..<count).reversed() {
      let batch = lanes.compactMap { $0[index] }
      if index < count - 1 { try decoder.forward(batch, saving: &saved) }
      let part = try decoder.backward(batch, saved, scale: scale)
      if !part.isFinite { throw NonFiniteLoss(document: try culprit(lanes, index), token: index * chunk) }
      loss += part
      try counter.add(batch, progress)
    }
    return loss
  }

  /// The loss alone: one pass forward.
  ///
  /// - Returns: of each document the sum of its cross-entropies, in nats.
  public func evaluate(
    _ documents: [Document], _ progress: (PassProgress) throws -> Void = { _ in }
  ) throws -> Double {
    let lanes = documents.map { Lane($0, chunk: chunk) }
    var counter = PassProgress(phase: .forward, done: 0, total: lanes.reduce(0) { $0 + $1.length })
    var loss = 0.0
    for index in 0..<(lanes.map(\.chunks).max() ?? 0) {
      let batch = lanes.compactMap { $0[index] }
      loss += try decoder.forward(batch)
      for chunk in batch { try chunk.attention.commit(chunk.tokens) }
      try counter.add(batch, progress)
    }
    for lane in lanes { try lane.document.attention.endForward() }
    return loss
  }

  /// Which document's loss is not a number in this chunk.
  private func culprit(_ lanes: [Lane], _ index: Int) throws -> Int {
    for (place, lane) in lanes.enumerated() {
      guard let chunk = lane[index], try !decoder.forward([chunk]).isFinite else { continue }
      return place
    }
    return 0
  }

  /// A document as its chunks, as far as its last target: what comes after that has no part in the loss.
  private struct Lane {
    let document: Document
    let length: Int
    let chunk: Int
    var chunks: Int { (length + chunk - 1) / chunk }

    init(_ document: Document, chunk: Int) {
      self.document = document
      self.chunk = chunk
      length = document.targets.lastIndex { $0 != nil }.map { $0 + 1 } ?? 0
    }

    subscript(index: Int) -> TrainingChunk<Attention>? {
      let start = index * chunk
      guard start < length else { return nil }
      let range = start..<min(start + chunk, length)
      return TrainingChunk(
        document.tokens[range], targets: document.targets[range], startPosition: start,
        attention: document.attention)
    }
  }
}

/// How far documents are.
public struct PassProgress: Sendable, Hashable {
  public enum Phase: String, Sendable {
    case forward, backward
  }

  public let phase: Phase
  /// Tokens of this phase, over all documents.
  public private(set) var done: Int
  public let total: Int

  fileprivate mutating func add(
    _ batch: [TrainingChunk<some TrainingAttention>], _ progress: (PassProgress) throws -> Void
  ) rethrows {
    done += batch.reduce(0) { $0 + $1.tokens.count }
    try progress(self)
  }
}

/// A loss that is infinite or not a number.
public struct NonFiniteLoss: Error, Sendable, Hashable {
  /// Which of the documents of the pass.
  public let document: Int
  /// First token of the chunk.
  public let token: Int
}
