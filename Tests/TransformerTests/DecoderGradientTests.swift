import Foundation
import Safetensors
import Testing
import Transformer

/// The whole decoder's gradient against finite differences of the same decoder in f64.
@Suite struct DecoderGradientTests {
  @Test(arguments: RandomDecoder.variants) func everyParameterAgreesWithFiniteDifferences(
    _ variant: RandomDecoder
  ) throws {
    let decoder = try variant.load()
    let document = RandomDecoder.document
    let (loss, gradients) = try decoder.lossAndGradients(document, chunk: 8)
    var reference = ReferenceDecoder(decoder)
    #expect(abs(loss - reference.loss(document.tokens, targets: document.targets)) < 1e-5)

    var noise = Noise(17)
    let step = 1e-5
    for tensor in decoder.weights.layout.tensors {
      let base = try #require(reference.weights[tensor.name])
      let gradient = try #require(gradients[tensor.name])
      let norm = gradient.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
      #expect(norm > 0, "\(tensor.name)")
      for _ in 0..<2 {
        let direction = noise.floats(base.count).map(Double.init)
        func moved(_ by: Double) -> Double {
          reference.weights[tensor.name] = zip(base, direction).map { $0 + by * $1 }
          return reference.loss(document.tokens, targets: document.targets)
        }
        let expected = (moved(step) - moved(-step)) / (2 * step)
        reference.weights[tensor.name] = base
        let given = zip(gradient, direction).reduce(0.0) { $0 + Double($1.0) * $1.1 }
        // A direction that happens to lie across the gradient has no relative error: the least that counts is what a random
        // one of this length has, ‖gradient‖ · √(1/3).
        let error = abs(given - expected) / max(abs(expected), norm / 3.0.squareRoot())
        #expect(error <= 1e-4, "\(tensor.name)")
      }
    }
  }

  /// Cuts of a document: later chunks' gradients reach the keys and values of earlier ones.
  @Test(arguments: RandomDecoder.variants) func gradientsDoNotDependOnTheCut(_ variant: RandomDecoder) throws
  {
    let decoder = try variant.load(vocabularyTile: 16)
    let document = RandomDecoder.document
    let whole = try decoder.lossAndGradients(document, chunk: document.tokens.count)
    for chunk in [1, 7] {
      let cut = try decoder.lossAndGradients(document, chunk: chunk)
      #expect(abs(cut.loss - whole.loss) < 1e-6)
      let largest = largestDistance(cut.gradients, whole.gradients)
      #expect(largest.distance <= 1e-5, "\(largest)")
      #expect(try decoder.lossAndGradients(document, chunk: chunk).gradients == cut.gradients)
    }
  }

  /// Rows of several documents in the same matmuls give the sum of what each gives alone.
  @Test func aBatchIsTheSumOfItsDocuments() throws {
    for variant in RandomDecoder.variants {
      let decoder = try variant.load()
      let all = RandomDecoder.document
      let documents = [Array(all.tokens[..<9]), Array(all.tokens[9...])].map(TrainingDocument.init)
      decoder.gradients.setToZero()
      var alone = 0.0
      for document in documents {
        let attention = DenseTrainingAttention(decoder.configuration)
        var saved = SavedActivations(decoder.configuration)
        let chunks = document.chunks(of: 100, attention)
        try decoder.forward(chunks, saving: &saved)
        alone += try decoder.backward(chunks, saved, scale: 0.1)
      }
      let expected = decoder.copyOfGradients

      decoder.gradients.setToZero()
      var saved = SavedActivations(decoder.configuration)
      let batch = documents.flatMap { $0.chunks(of: 100, DenseTrainingAttention(decoder.configuration)) }
      try decoder.forward(batch, saving: &saved)
      let together = try decoder.backward(batch, saved, scale: 0.1)
      #expect(abs(together - alone) < 1e-6)
      let largest = largestDistance(decoder.copyOfGradients, expected)
      #expect(largest.distance <= 1e-5, "\(variant.testDescription): \(largest)")
    }
  }

  /// bf16 factors move the gradients by what eight bits of mantissa allow, and they do move them.
  @Test(arguments: RandomDecoder.variants) func brainFloatErrorIsBounded(_ variant: RandomDecoder) throws {
    let document = RandomDecoder.document
    let exact = try variant.load().lossAndGradients(document, chunk: 8)
    let rounded = try variant.load(.bfloat16).lossAndGradients(document, chunk: 8)
    let largest = largestDistance(rounded.gradients, exact.gradients)
    #expect(abs(rounded.loss - exact.loss) < 0.05)
    #expect(largest.distance > 1e-4 && largest.distance < 0.1, "\(largest)")
  }

  /// The head's term of a tied matrix counts: an untied copy of the model has the two apart, and only their sum is the gradient.
  @Test func aTiedMatrixHasBothItsGradients() throws {
    let tied = RandomDecoder.variants[4]
    try withTemporaryFolder { folder in
      try tied.write(to: folder)
      let decoder = try TrainableDecoder(folder: folder)
      let path = folder + "/config.json"
      let untied = try String(contentsOfFile: path, encoding: .utf8)
        .replacing("\"tie_word_embeddings\": true", with: "\"tie_word_embeddings\": false")
      try addHead(to: folder, from: decoder)
      try untied.write(toFile: path, atomically: true, encoding: .utf8)
      let apart = try TrainableDecoder(folder: folder)
      #expect(!apart.configuration.tiedHead && decoder.configuration.tiedHead)

      let together = try decoder.lossAndGradients(RandomDecoder.document, chunk: 8)
      let parts = try apart.lossAndGradients(RandomDecoder.document, chunk: 8)
      let name = "model.embed_tokens.weight"
      let sum = try #require(together.gradients[name])
      let embedding = try #require(parts.gradients[name])
      let head = try #require(parts.gradients["lm_head.weight"])
      #expect(relativeDistance(zip(embedding, head).map(+), sum) < 1e-6)
      #expect(relativeDistance(embedding, sum) > 0.1)
      #expect(relativeDistance(head, sum) > 0.1)
    }
  }
}

/// Adds the embedding's copy as `lm_head.weight` to the folder's weights.
private func addHead(to folder: String, from decoder: TrainableDecoder) throws {
  var writer = SafetensorsWriter()
  for tensor in decoder.weights.layout.tensors {
    let values = decoder.weights[tensor.name] ?? []
    try writer.add(tensor.name, shape: tensor.shape, values)
    if tensor.name == "model.embed_tokens.weight" {
      try writer.add("lm_head.weight", shape: tensor.shape, values)
    }
  }
  try writer.write(to: folder + "/model.safetensors")
}
