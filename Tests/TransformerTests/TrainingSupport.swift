import Foundation
import Safetensors
import Testing
import Transformer

/// One document on its way through an optimiser step.
struct TrainingDocument {
  let tokens: [UInt32]
  /// The next token, or none.
  var targets: [UInt32?]

  /// Every token but the last predicts the next.
  init(_ tokens: [UInt32]) {
    self.tokens = tokens
    targets = tokens.dropFirst().map { $0 } + [nil]
  }

  var scale: Double { 1 / Double(targets.count { $0 != nil }) }

  func chunks<Attention: TrainingAttention>(of length: Int, _ attention: Attention) -> [TrainingChunk<
    Attention
  >] {
    stride(from: 0, to: tokens.count, by: length).map {
      let range = $0..<min($0 + length, tokens.count)
      return TrainingChunk(
        tokens[range], targets: targets[range], startPosition: $0, attention: attention)
    }
  }
}

extension TrainableDecoder {
  /// Forward through the document, then back through its chunks, each computed again: adds to `gradients`.
  func accumulate(
    _ document: TrainingDocument, chunk: Int, attention: some TrainingAttention
  ) throws -> Double {
    let chunks = document.chunks(of: chunk, attention)
    for chunk in chunks { _ = try forward([chunk.withoutTargets]) }
    var saved = SavedActivations(configuration)
    var loss = 0.0
    for chunk in chunks.reversed() {
      try forward([chunk], saving: &saved)
      loss += try backward([chunk], saved, scale: document.scale)
    }
    return loss
  }

  /// Loss and gradients of one document from zero, over dense attention.
  func lossAndGradients(
    _ document: TrainingDocument, chunk: Int
  ) throws -> (loss: Double, gradients: [String: [Float]]) {
    gradients.setToZero()
    let loss = try accumulate(document, chunk: chunk, attention: DenseTrainingAttention(configuration))
    return (loss, copyOfGradients)
  }

  var copyOfGradients: [String: [Float]] {
    var copy: [String: [Float]] = [:]
    for tensor in gradients.layout.tensors { copy[tensor.name] = gradients[tensor.name] }
    return copy
  }
}

/// The largest distance of any tensor, and its name.
func largestDistance(
  _ left: [String: [Float]], _ right: [String: [Float]]
) -> (name: String, distance: Double) {
  right.map { ($0.key, relativeDistance(left[$0.key] ?? Noise.zeros($0.value.count), $0.value)) }
    .max { $0.1 < $1.1 } ?? ("none", .infinity)
}

/// A decoder of random f32 weights, by the fields of its `config.json`.
struct RandomDecoder: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let fields: String
  var seed: UInt64 = 5

  init(_ description: String, _ fields: String) {
    testDescription = description
    self.fields = fields
  }

  private var json: Data {
    Data(
      """
      {"hidden_act": "silu", "rms_norm_eps": 1e-5, "num_hidden_layers": 2, "vocab_size": 37, \(fields)}
      """.utf8)
  }

  func write(to folder: String) throws {
    try json.write(to: URL(fileURLWithPath: folder + "/config.json"))
    var noise = Noise(seed)
    var writer = SafetensorsWriter()
    for tensor in ParameterLayout(try ModelConfiguration(json: json)).tensors {
      let values = noise.floats(tensor.range.count).map { value in
        if tensor.name.contains("norm") { return 1 + value / 2 }
        if tensor.name.hasSuffix("bias") || tensor.name.contains("embed") { return value }
        return value * 0.5
      }
      try writer.add(tensor.name, shape: tensor.shape, values)
    }
    try writer.write(to: folder + "/model.safetensors")
  }

  func load(_ compute: Compute = .float32, vocabularyTile: Int = 4096) throws -> TrainableDecoder {
    try withTemporaryFolder { folder in
      try write(to: folder)
      return try TrainableDecoder(folder: folder, compute: compute, vocabularyTile: vocabularyTile)
    }
  }

  /// Tokens of which the second, third and last predict nothing.
  static let document: TrainingDocument = {
    var noise = Noise(3)
    var document = TrainingDocument((0..<23).map { _ in UInt32((noise.next() + 1) * 18) })
    document.targets[1] = nil
    document.targets[2] = nil
    return document
  }()

  static let variants = [
    RandomDecoder(
      "plain, untied, heads apart from the width",
      """
      "model_type": "mistral", "hidden_size": 20, "intermediate_size": 27, "num_attention_heads": 4,
      "num_key_value_heads": 2, "head_dim": 6, "rope_theta": 10000.0, "sliding_window": null
      """),
    RandomDecoder(
      "all biases, MHA, linear RoPE",
      """
      "model_type": "llama", "hidden_size": 18, "intermediate_size": 25, "num_attention_heads": 3,
      "num_key_value_heads": 3, "attention_bias": true, "mlp_bias": true, "rope_theta": 500.0,
      "rope_scaling": {"type": "linear", "factor": 2.5}
      """),
    RandomDecoder(
      "norms of heads, biases, tied",
      """
      "model_type": "qwen3", "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 4,
      "num_key_value_heads": 1, "head_dim": 10, "attention_bias": true, "tie_word_embeddings": true,
      "rope_theta": 1000000.0
      """),
    RandomDecoder(
      "biases of Q, K and V, tied",
      """
      "model_type": "qwen2", "hidden_size": 24, "intermediate_size": 30, "num_attention_heads": 6,
      "num_key_value_heads": 2, "tie_word_embeddings": true, "rope_theta": 10000.0
      """),
    RandomDecoder(
      "llama3 RoPE, tied",
      """
      "model_type": "llama", "hidden_size": 16, "intermediate_size": 20, "num_attention_heads": 2,
      "num_key_value_heads": 1, "tie_word_embeddings": true, "max_position_embeddings": 128,
      "rope_parameters": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 32, "rope_theta": 1000.0}
      """),
    RandomDecoder(
      "yarn RoPE with an amplitude",
      """
      "model_type": "llama", "hidden_size": 16, "intermediate_size": 20, "num_attention_heads": 4,
      "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 128,
      "rope_parameters": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32,
        "rope_theta": 10000.0, "attention_factor": 1.3}
      """),
  ]
}
