import LRSATraining
import Transformer

/// One optimiser step of dense training: documents of one length as the chunks of one batch, forward, loss, backward, AdamW over
/// all weights.
final class DenseStep {
  let documents: Int
  let tokens: Int
  let decoder: TrainableDecoder
  private let batch: [TrainingChunk<CausalTrainingAttention>]
  private var saved: SavedActivations
  private var optimiser: AdamW

  init(model: String, compute: Compute, documents: Int, tokens: Int) throws {
    self.documents = documents
    self.tokens = tokens
    let decoder = try TrainableDecoder(folder: model, compute: compute)
    self.decoder = decoder
    saved = SavedActivations(decoder.configuration)
    optimiser = AdamW(layout: decoder.weights.layout)
    // tools/compare/train_throughput.py draws the same bytes.
    var state: UInt64 = 1
    batch = (0..<documents).map { _ in
      let bytes = (0...tokens).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return UInt32(97 + (state >> 33) % 26)
      }
      return TrainingChunk(
        bytes.dropLast(), targets: bytes.dropFirst().map(Optional.some), startPosition: 0,
        attention: CausalTrainingAttention(decoder.configuration, compute: compute, capacity: tokens))
    }
  }

  /// - Returns: the mean cross-entropy before the step, in nats.
  func run() throws -> Double {
    for chunk in batch { chunk.attention.reset() }
    decoder.gradients.setToZero()
    try decoder.forward(batch, saving: &saved)
    let loss = try decoder.backward(batch, saved, scale: 1 / Double(documents * tokens))
    optimiser.update(decoder.weights, decoder.gradients, learningRate: 1e-4, gradientScale: 1) {
      $0.shape.count > 1
    }
    try decoder.weightsChanged()
    return loss
  }
}
