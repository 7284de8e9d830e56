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

  /// f32 comes back bit for bit, under the same names, from any source type; the folder is a model to everyone.
  @Test(arguments: ["llama-linear-biases", "qwen3-qknorm-sharded", "mistral-headdim"])
  func savedFoldersAreTheSameModel(_ name: String) throws {
    let source = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Fixtures/models/" + name).path
    let decoder = try TrainableDecoder(folder: source)
    let original = try SafetensorsCheckpoint(folder: source)
    decoder.weights.withElements { $0[3] = 0x1.234566p-3 }
    try withTemporaryFolder { parent in
      let folder = parent + "/made"
      try decoder.save(to: folder)
      let again = try TrainableDecoder(folder: folder)
      for tensor in decoder.weights.layout.tensors {
        #expect(again.weights[tensor.name] == decoder.weights[tensor.name])
      }
      let file = try SafetensorsFile(path: folder + "/model.safetensors")
      #expect(file.names.sorted() == original.names)
      for name in file.names { #expect(try file.tensor(name).dtype == .float32) }
      #expect(
        FileManager.default.contentsEqual(atPath: source + "/config.json", andPath: folder + "/config.json"))
      #expect(try DecoderModel(folder: folder).configuration == decoder.configuration)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).count == 2)
      #expect(file.metadata == ["format": "pt"])

      // Rounded to the original type, over the folder that is there: what was not changed has its old bytes.
      try decoder.save(to: folder, as: .original)
      let narrow = try SafetensorsFile(path: folder + "/model.safetensors")
      for name in narrow.names {
        let (saved, old) = (try narrow.tensor(name), try original.tensor(name))
        #expect(saved.dtype == old.dtype)
        #expect(saved.bytes.elementsEqual(old.bytes) == (name != "model.embed_tokens.weight"))
      }
      let rounded = try narrow.floats("model.embed_tokens.weight")[3]
      switch try narrow.tensor("model.embed_tokens.weight").dtype {
      case .bfloat16: #expect(rounded == BFloat16.round(0x1.234566p-3))
      case .float16: #expect(rounded == Float(Float16(0x1.234566p-3)))
      default: #expect(rounded == 0x1.234566p-3)
      }
    }
  }

  @Test func weightsBeyondTheirTypeAreNotSaved() throws {
    let source = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Fixtures/models/mistral-headdim").path
    let decoder = try TrainableDecoder(folder: source)
    decoder.weights.withElements { $0[0] = 70_000 }
    try withTemporaryFolder { parent in
      let error = #expect(throws: ModelError.self) { try decoder.save(to: parent + "/made", as: .original) }
      #expect(error?.name == "model.embed_tokens.weight")
      #expect(!FileManager.default.fileExists(atPath: parent + "/made"))
      try decoder.save(to: parent + "/made")
    }
  }
}
