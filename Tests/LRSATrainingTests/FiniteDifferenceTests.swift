import Foundation
import LRSATraining
import LagKV
import Testing
import Transformer

/// The gradients of the whole model, through a daemon, against central differences of its loss. The differences replay the
/// selection of the pass: which rows are kept is not differentiated, and where it changes the loss jumps.
@Suite struct FiniteDifferenceTests {
  /// Half of the distance between two weights, for a direction of elements -1...1. Larger ones show the loss's third derivative,
  /// smaller ones its rounding.
  private static let step = 4e-4
  private static let tolerance = 2e-3

  private let decoder: TrainableDecoder
  private let retention: RetentionParameters
  private let text = TrainingText(TinyModel.text)

  init() throws {
    decoder = try TinyModel.load()
    retention = try RetentionParameters(policy: .lagkv, sinks: 4, lag: 16, ratio: 0.25)
  }

  @Test func randomDirections() throws {
    let daemon = try TestDaemon(decoder.configuration, retention, .float32)
    let (pass, chosen) = try daemon.withAttention(chunk: 40) { attention in
      let pass = try LossAndGradients(decoder) {
        try BatchPass(decoder: decoder, chunk: 40).run(
          [.init(text.tokens, attention: attention)], scale: text.scale)
      }
      let chosen = try #require(try attention.chosenPositions())
      return (pass, chosen.map { $0.map(Int.init) })
    }
    #expect(try abs(loss(replaying: chosen) - pass.loss) < 1e-6)
    // The same measure must tell a gradient that lacks a part.
    let chunks = text.chunks(first: 20, then: 16)
    let lacking = try ChunkLoop(decoder: decoder, text: text, chunks: chunks)
      .run(MaskedAttention(decoder.configuration, retention, mistake: .noWindowGradients))
    var random = SplitMix64(seed: 11)
    var worst = (right: 0.0, wrong: 0.0)
    for _ in 0..<5 {
      let errors = try differences(of: [pass, lacking], replaying: chosen, &random)
      worst = (max(worst.right, errors[0]), max(worst.wrong, errors[1]))
    }
    #expect(worst.right < Self.tolerance)
    #expect(worst.wrong > 10 * Self.tolerance)
  }

  /// The loss with the weights that the decoder has, in one masked pass.
  private func loss(replaying chosen: [[Int]]) throws -> Double {
    try decoder.weightsChanged()
    let attention = MaskedAttention(decoder.configuration, retention, replaying: chosen)
    let whole = TrainingChunk(text.tokens, targets: text.targets, startPosition: 0, attention: attention)
    return try decoder.forward([whole], scale: text.scale)
  }

  /// How far each gradient's slope along one random direction is from the loss's, relative to what such a slope is in the root
  /// mean square over directions: one direction may happen to be at a right angle to the gradient.
  private func differences(
    of passes: [LossAndGradients], replaying chosen: [[Int]], _ random: inout SplitMix64
  ) throws -> [Double] {
    let weights = decoder.weights.withElements { Array($0) }
    let direction = weights.map { _ in Double(random.next() >> 11) * 0x1p-52 - 1 }
    func moved(_ step: Double) -> [Float] { zip(weights, direction).map { Float(Double($0) + step * $1) } }
    let (ahead, behind) = (moved(Self.step), moved(-Self.step))
    decoder.weights.withElements { _ = $0.update(fromContentsOf: ahead) }
    let above = try loss(replaying: chosen)
    decoder.weights.withElements { _ = $0.update(fromContentsOf: behind) }
    let below = try loss(replaying: chosen)
    decoder.weights.withElements { _ = $0.update(fromContentsOf: weights) }
    try decoder.weightsChanged()
    return passes.map { pass in
      var (slope, square) = (0.0, 0.0)
      for tensor in decoder.weights.layout.tensors {
        for (index, value) in zip(tensor.range, pass.gradients[tensor.name] ?? []) {
          // Between the weights as they round.
          slope += Double(value) * (Double(ahead[index]) - Double(behind[index]))
          square += Double(value) * Double(value)
        }
      }
      let usual = 2 * Self.step * (square / 3).squareRoot()
      return abs(above - below - slope) / usual
    }
  }
}
