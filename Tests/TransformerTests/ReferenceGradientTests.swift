import Foundation
import Safetensors
import Testing
import Transformer

/// Gradients of tiny models against those of an independent implementation (tools/compare/reference_gradients.py).
@Suite struct ReferenceGradientTests {
  struct Reference {
    let decoder: TrainableDecoder
    let document: TrainingDocument
    let loss: Double
    var gradients: [String: [Float]] = [:]

    init(_ name: String) throws {
      let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fixtures/models/" + name).path
      decoder = try TrainableDecoder(folder: folder, vocabularyTile: 50)
      document = TrainingDocument(
        try JSONDecoder().decode(
          [UInt32].self, from: Data(contentsOf: URL(fileURLWithPath: folder + "/tokens.json"))))
      let file = try SafetensorsFile(path: folder + "/gradients.safetensors")
      loss = Double(try file.floats("loss")[0])
      for name in file.names where name != "loss" {
        #expect(try file.tensor(name).shape == decoder.gradients.layout[name]?.shape)
        gradients[name] = try file.floats(name)
      }
    }
  }

  @Test(arguments: [
    ("llama-linear-biases", 35), ("qwen3-attention-bias", 32), ("llama-yarn-mscale", 15),
  ])
  func gradientsAreTheReferences(_ name: String, _ count: Int) throws {
    let reference = try Reference(name)
    #expect(reference.gradients.count == count)
    for chunk in [96, 7] {
      let (loss, gradients) = try reference.decoder.lossAndGradients(reference.document, chunk: chunk)
      #expect(abs(loss - reference.loss) < 1e-5)
      let largest = largestDistance(gradients, reference.gradients)
      #expect(largest.distance <= 1e-4, "\(largest)")
    }
  }

  /// The comparison sees an amplitude that was inverted on the way back instead of kept.
  @Test func anInvertedAmplitudeIsSeen() throws {
    let reference = try Reference("llama-yarn-mscale")
    let factor = reference.decoder.configuration.rope.attentionFactor
    #expect(factor > 1.02)
    func distance(_ scale: Double) throws -> Double {
      reference.decoder.gradients.setToZero()
      let attention = Tampered(DenseTrainingAttention(reference.decoder.configuration), Float(scale))
      _ = try reference.decoder.accumulate(reference.document, chunk: 32, attention: attention)
      return largestDistance(reference.decoder.copyOfGradients, reference.gradients).distance
    }
    #expect(try distance(1) <= 1e-4)
    // RoPE backward is linear: dividing what goes into it by the factor's square turns the transpose into the inverse.
    #expect(try distance(1 / (factor * factor)) > 1e-2)
  }

  /// An attention whose gradients of queries and keys are off by a factor.
  private struct Tampered: TrainingAttention {
    let base: DenseTrainingAttention
    let factor: Float

    init(_ base: DenseTrainingAttention, _ factor: Float) {
      self.base = base
      self.factor = factor
    }

    func step(
      layer: Int, queries: UnsafeBufferPointer<Float>, keys: UnsafeBufferPointer<Float>,
      values: UnsafeBufferPointer<Float>, tokens: Int, into out: UnsafeMutableBufferPointer<Float>
    ) throws {
      try base.step(layer: layer, queries: queries, keys: keys, values: values, tokens: tokens, into: out)
    }

    func step(
      layer: Int, from: Int, queries: UnsafeBufferPointer<Float>, keys: UnsafeBufferPointer<Float>,
      values: UnsafeBufferPointer<Float>, tokens: Int, into out: UnsafeMutableBufferPointer<Float>,
      logSumExp: UnsafeMutableBufferPointer<Float>
    ) throws {
      try base.step(
        layer: layer, from: from, queries: queries, keys: keys, values: values, tokens: tokens, into: out,
        logSumExp: logSumExp)
    }

    func stepBackward(
      layer: Int, from: Int, queries: UnsafeBufferPointer<Float>, out: UnsafeBufferPointer<Float>,
      logSumExp: UnsafeBufferPointer<Float>, dOut: UnsafeBufferPointer<Float>, tokens: Int,
      dQueries: UnsafeMutableBufferPointer<Float>, dKeys: UnsafeMutableBufferPointer<Float>,
      dValues: UnsafeMutableBufferPointer<Float>
    ) throws {
      try base.stepBackward(
        layer: layer, from: from, queries: queries, out: out, logSumExp: logSumExp, dOut: dOut,
        tokens: tokens, dQueries: dQueries, dKeys: dKeys, dValues: dValues)
      for index in dQueries.indices { dQueries[index] *= factor }
      for index in dKeys.indices { dKeys[index] *= factor }
    }
  }
}
