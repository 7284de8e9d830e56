import Foundation
import Safetensors
import Testing
import Transformer

/// The decoder in training beside the one that only runs, its refusals, and its folder.
@Suite struct TrainableDecoderTests {
  private static let document = RandomDecoder.document

  /// Both decoders hand the same bits to the attention and find the same loss.
  @Test(arguments: RandomDecoder.variants, [Compute.float32, .bfloat16])
  func theForwardPassIsTheModels(_ variant: RandomDecoder, _ compute: Compute) throws {
    try withTemporaryFolder { folder in
      try variant.write(to: folder)
      let model = try DecoderModel(folder: folder, compute: compute)
      let decoder = try TrainableDecoder(folder: folder, compute: compute)
      let tokens = Self.document.tokens
      let chunk = TrainingDocument(tokens).chunks(of: 100, DenseTrainingAttention(model.configuration))[0]
      let attention = DenseTrainingAttention(model.configuration)
      let logits = try model.forward(tokens, startPosition: 0, attention: attention, logits: .all)
      let loss = try decoder.forward([chunk], scale: 1 / Double(tokens.count - 1))
      #expect(chunk.attention.keys == attention.keys)
      #expect(chunk.attention.values == attention.values)
      #expect(
        abs(loss - meanLoss(logits, tokens, vocabulary: model.configuration.vocabularySize)) < 1e-6)
    }
  }

  /// The pass that keeps activations is the one that does not; without targets the last layer still gets its keys.
  @Test func keepingChangesNothing() throws {
    let decoder = try RandomDecoder.variants[2].load()
    let chunks = (0..<3).map { _ in
      Self.document.chunks(of: 100, DenseTrainingAttention(decoder.configuration))[0]
    }
    let loss = try decoder.forward([chunks[0]], scale: 0.5)
    #expect(try decoder.forward([chunks[1].withoutTargets]) == 0)
    var saved = SavedActivations(decoder.configuration)
    try decoder.forward([chunks[2]], saving: &saved)
    #expect(try decoder.backward([chunks[2]], saved, scale: 0.5) == loss)
    for chunk in chunks.dropFirst() {
      #expect(chunk.attention.keys == chunks[0].attention.keys)
      #expect(chunk.attention.values == chunks[0].attention.values)
    }
  }

  /// A step down the gradient makes the loss smaller by what the gradient says, and changed weights are seen everywhere.
  @Test(arguments: [Compute.float32, .bfloat16]) func aStepDownhillIsSeen(_ compute: Compute) throws {
    for variant in RandomDecoder.variants {
      let decoder = try variant.load(compute)
      let before = try decoder.lossAndGradients(Self.document, chunk: 8)
      let norm = before.gradients.values.joined().reduce(0.0) { $0 + Double($1) * Double($1) }
      let rate = 0.02 / norm
      decoder.weights.withElements { weights in
        decoder.gradients.withElements { gradients in
          for index in weights.indices { weights[index] -= Float(rate) * gradients[index] }
        }
      }
      try decoder.weightsChanged()
      let after = try decoder.lossAndGradients(Self.document, chunk: 8).loss
      #expect(abs((before.loss - after) / 0.02 - 1) < (compute == .float32 ? 0.1 : 0.5))

      try withTemporaryFolder { folder in
        try decoder.save(to: folder)
        let fresh = try TrainableDecoder(folder: folder, compute: compute)
        #expect(try fresh.lossAndGradients(Self.document, chunk: 8).loss == after)
      }
    }
  }

  /// Memory of the activations is reused by shorter batches and grows for longer ones.
  @Test func activationsAreReused() throws {
    let decoder = try RandomDecoder.variants[0].load()
    var saved = SavedActivations(decoder.configuration)
    func gradients(_ tokens: Int, _ saved: inout SavedActivations) throws -> [String: [Float]] {
      decoder.gradients.setToZero()
      let document = TrainingDocument(Array(Self.document.tokens[..<tokens]))
      let chunks = document.chunks(of: 100, DenseTrainingAttention(decoder.configuration))
      try decoder.forward(chunks, saving: &saved)
      _ = try decoder.backward(chunks, saved, scale: 1)
      return decoder.copyOfGradients
    }
    for tokens in [12, 5, 23, 1, 12] {
      var fresh = SavedActivations(decoder.configuration)
      #expect(try gradients(tokens, &saved) == gradients(tokens, &fresh))
    }
  }

  @Test func whatCannotRunIsRefusedBeforeAnythingIsSeen() throws {
    let decoder = try RandomDecoder.variants[0].load()
    let attention = DenseTrainingAttention(decoder.configuration)
    func chunk(_ tokens: [UInt32], _ targets: [UInt32?], at position: Int = 0) -> TrainingChunk<
      DenseTrainingAttention
    > {
      TrainingChunk(tokens, targets: targets, startPosition: position, attention: attention)
    }
    for bad in [
      chunk([1, 37], [nil, nil]), chunk([1, 2], [2, 37]), chunk([1, 2], [2]), chunk([], []),
      chunk([1], [2], at: -1),
    ] {
      #expect(throws: ModelError.self) { try decoder.forward([bad]) }
    }
    #expect(attention.keys.allSatisfy { $0.isEmpty })

    var saved = SavedActivations(decoder.configuration)
    let (good, other) = (chunk([1, 2], [2, 3]), chunk([1, 3], [2, 3]))
    #expect(throws: ModelError.self) { try decoder.backward([good], saved, scale: 1) }
    try decoder.forward([good], saving: &saved)
    #expect(throws: ModelError.self) { try decoder.backward([other], saved, scale: 1) }
    #expect(throws: ModelError.self) { try decoder.backward([good, good], saved, scale: 1) }
    var foreign = SavedActivations(try RandomDecoder.variants[1].load().configuration)
    #expect(throws: ModelError.self) { try decoder.forward([good], saving: &foreign) }
    #expect(decoder.copyOfGradients.values.joined().allSatisfy { $0 == 0 })
    #expect(try decoder.backward([good], saved, scale: 1) > 0)
  }
}
