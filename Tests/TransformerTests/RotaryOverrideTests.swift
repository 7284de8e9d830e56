import Foundation
import Safetensors
import Testing
import Transformer

/// Rotary settings for longer contexts: what they mean, and that saved folders have them.
@Suite struct RotaryOverrideTests {
  /// A decoder's configuration by the rotary members of its `config.json`.
  private func configuration(_ members: String) throws -> ModelConfiguration {
    try ModelConfiguration(json: json(members))
  }

  private func json(_ members: String) -> Data {
    Data(
      """
      {
        "model_type": "llama",
        "unknown_field": [1.50, {"rope_theta": 7}],
        "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "vocab_size": 40, "head_dim": 12, "hidden_act": "silu"\(members)
      }

      """.utf8)
  }

  @Test func aBaseKeepsTheScaling() throws {
    let model = try configuration(
      #", "rope_theta": 500.0, "rope_scaling": {"type": "linear", "factor": 2.5}"#)
    let rope = try RotaryOverride(theta: 8000).parameters(for: model)
    #expect(rope == RotaryParameters(theta: 8000, scaling: .linear(factor: 2.5)))
    #expect(try RotaryOverride().parameters(for: model) == model.rope)
  }

  @Test func yarnStretchesWhatWasTrained() throws {
    func original(_ members: String, _ override: RotaryOverride) throws -> Int? {
      let rope = try override.parameters(for: configuration(members))
      guard case .yarn(let yarn) = rope.scaling else { return nil }
      #expect(yarn.factor == 4)
      #expect(yarn.attentionFactor == 0.1 * log(4.0) + 1)
      #expect((yarn.betaFast, yarn.betaSlow) == (32, 1))
      return yarn.originalPositions
    }
    let four = RotaryOverride(yarnFactor: 4)
    let llama3 = """
      , "max_position_embeddings": 128, "rope_scaling": {"rope_type": "llama3", "factor": 8.0,
        "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
      """
    #expect(try original(#", "max_position_embeddings": 64"#, four) == 64)
    #expect(try original(llama3, four) == 32)
    #expect(try original(llama3, RotaryOverride(yarnFactor: 4, originalPositions: 96)) == 96)
  }

  @Test func whatCannotBeIsRefusedByName() throws {
    let model = try configuration("")
    for (override, name) in [
      (RotaryOverride(theta: 0), "theta"), (RotaryOverride(theta: -.infinity), "theta"),
      (RotaryOverride(theta: .nan), "theta"),
      (RotaryOverride(theta: 1, yarnFactor: 2, originalPositions: 8), "theta"),
      (RotaryOverride(yarnFactor: 0.5, originalPositions: 8), "yarnFactor"),
      (RotaryOverride(yarnFactor: .infinity, originalPositions: 8), "yarnFactor"),
      (RotaryOverride(yarnFactor: 2), "originalPositions"),
      (RotaryOverride(yarnFactor: 2, originalPositions: 0), "originalPositions"),
      (RotaryOverride(yarnFactor: 2, originalPositions: 1 << 40), "yarnFactor"),
      (RotaryOverride(originalPositions: 8), "originalPositions"),
    ] {
      let error = #expect(throws: ModelError.self, "\(override)") { try override.parameters(for: model) }
      #expect(error?.name == name)
    }
  }

  /// Each way in which a model may have its settings before.
  private static let before: [String] = [
    "",
    #", "rope_theta": 500.0, "rope_scaling": null, "max_position_embeddings": 64"#,
    #", "rope_theta": 500.0, "rope_scaling": {"type": "linear", "factor": 2.5}, "max_position_embeddings": 64"#,
    """
    , "max_position_embeddings": 128, "rope_scaling": {"rope_type": "llama3", "factor": 8.0,
      "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
    """,
    """
    , "max_position_embeddings": 64, "original_max_position_embeddings": 48,
      "rope_scaling": {"type": "yarn", "factor": 4, "truncate": false, "beta_fast": 16, "mscale": 0.8}
    """,
    #", "rope_parameters": {"rope_type": "default", "rope_theta": 1000.0}, "max_position_embeddings": 64"#,
    """
    , "rope_theta": 1000.0, "max_position_embeddings": 64,
      "rope_parameters": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32,
        "rope_theta": 1000.0, "attention_factor": 1.3}
    """,
  ]

  private static let overrides = [
    RotaryOverride(theta: 123_456.78), RotaryOverride(theta: 1e6 / 3, yarnFactor: 3.3, originalPositions: 50),
    RotaryOverride(yarnFactor: 2, originalPositions: 64),
  ]

  /// A decoder that was made with other settings computes with them, and what it saves is read back with the same frequencies,
  /// bit for bit, in the file's own spelling.
  @Test(arguments: before, overrides) func savedFoldersHaveTheSettings(
    _ before: String, _ override: RotaryOverride
  ) throws {
    try withTemporaryFolder { folder in
      try TinyModel().write(to: folder)
      try json(before).write(to: URL(fileURLWithPath: folder + "/config.json"))
      let plain = try TrainableDecoder(folder: folder)
      let decoder = try TrainableDecoder(folder: folder, rope: override)
      #expect(decoder.configuration.rope == (try override.parameters(for: plain.configuration)))
      #expect(decoder.configuration.rope != plain.configuration.rope)
      let document = RandomDecoder.document
      let loss = try decoder.lossAndGradients(document, chunk: 8).loss
      #expect(try plain.lossAndGradients(document, chunk: 8).loss != loss)

      try decoder.save(to: folder + "/made")
      let again = try TrainableDecoder(folder: folder + "/made")
      #expect(again.configuration.rope == decoder.configuration.rope)
      #expect(
        again.configuration.rope.frequencies(headDim: 12)
          == decoder.configuration.rope.frequencies(headDim: 12))
      #expect(try again.lossAndGradients(document, chunk: 8).loss == loss)
      let text = try String(contentsOfFile: folder + "/made/config.json", encoding: .utf8)
      #expect(text.contains("rope_parameters") == before.contains("rope_parameters"))
      #expect(text.contains(#""unknown_field": [1.50, {"rope_theta": 7}],"#))
    }
  }

  /// The context that YaRN reaches is what the model says it can do.
  @Test func theReachIsWritten() throws {
    try withTemporaryFolder { folder in
      try TinyModel().write(to: folder)
      try json(#", "max_position_embeddings": 64"#).write(to: URL(fileURLWithPath: folder + "/config.json"))
      func reach(_ override: RotaryOverride) throws -> Int? {
        try TrainableDecoder(folder: folder, rope: override).configuration.maximumPositions
      }
      #expect(try reach(RotaryOverride(yarnFactor: 4)) == 256)
      #expect(try reach(RotaryOverride(yarnFactor: 4, originalPositions: 8)) == 32)
      #expect(try reach(RotaryOverride(theta: 5)) == 64)
    }
  }
}
