import Foundation
import Safetensors
import Testing
import ToolSupport

/// `lagoon-lm` with models that have a tokenizer of their own.
@Suite struct TokenizerToolTests {
  private func withFolder(_ body: (String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.path + "/lagoon-bpe-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(folder)
  }

  /// A Qwen3 folder of one layer with seeded weights and the tokenizer of a fixture.
  private func write(_ tokenizer: String, to folder: String) throws {
    let vocabulary = 1536
    let config: [String: Any] = [
      "model_type": "qwen3", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1,
      "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32, "vocab_size": vocabulary,
      "hidden_act": "silu", "tie_word_embeddings": true, "max_position_embeddings": 4096,
    ]
    try JSONSerialization.data(withJSONObject: config).write(to: URL(filePath: folder + "/config.json"))
    try FileManager.default.copyItem(
      atPath: Program.root + "/Tests/Fixtures/tokenizers/\(tokenizer)/tokenizer.json",
      toPath: folder + "/tokenizer.json")
    var state: UInt64 = 3
    var writer = SafetensorsWriter()
    let layer = "model.layers.0."
    for (name, shape) in [
      ("model.embed_tokens.weight", [vocabulary, 32]), ("model.norm.weight", [32]),
      (layer + "input_layernorm.weight", [32]), (layer + "post_attention_layernorm.weight", [32]),
      (layer + "self_attn.q_proj.weight", [64, 32]), (layer + "self_attn.k_proj.weight", [32, 32]),
      (layer + "self_attn.v_proj.weight", [32, 32]), (layer + "self_attn.o_proj.weight", [32, 64]),
      (layer + "self_attn.q_norm.weight", [32]), (layer + "self_attn.k_norm.weight", [32]),
      (layer + "mlp.gate_proj.weight", [48, 32]), (layer + "mlp.up_proj.weight", [48, 32]),
      (layer + "mlp.down_proj.weight", [32, 48]),
    ] {
      let values = (0..<shape.reduce(1, *)).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Float(Int64(bitPattern: state) >> 40) / 16_777_216
      }
      try writer.add(name, shape: shape, values)
    }
    try writer.write(to: folder + "/model.safetensors")
  }

  private struct Goldens: Decodable {
    struct Encoding: Decodable {
      /// What the template puts before and behind every text.
      var prefix: [Int]
      var suffix: [Int]
      var ids: [[Int]]
    }
    var texts: [String]
    var tokenizers: [String: Encoding]
  }

  @Test(arguments: ["gpt2", "llama3", "qwen2"]) func tokenizePrintsTheGoldens(_ tokenizer: String) throws {
    let goldens = try JSONDecoder().decode(
      Goldens.self,
      from: Data(contentsOf: URL(filePath: Program.root + "/Tests/Fixtures/tokenizers/goldens.json")))
    let golden = try #require(goldens.tokenizers[tokenizer])
    try withFolder { folder in
      try write(tokenizer, to: folder)
      for index in stride(from: 0, to: goldens.texts.count, by: 61) {
        try Data(goldens.texts[index].utf8).write(to: URL(filePath: folder + "/text"))
        let run = try Program.run("lagoon-lm", ["tokenize", folder, "--text", folder + "/text"])
        try #require(run.status == 0, "\(run.errors)")
        let expected = golden.prefix + golden.ids[index] + golden.suffix
        #expect(try JSONDecoder().decode([Int].self, from: Data(run.output.utf8)) == expected)
      }
    }
  }

  /// A document begins with the tokenizer's begin-of-text token, a prompt behind it does not; what streams out is the text
  /// of the tokens, in whole characters.
  @Test func aDocumentIsReadAndContinued() throws {
    try withFolder { folder in
      try write("llama3", to: folder)
      let daemon = try PrivateDaemon()
      defer { daemon.stop() }
      let text = String(repeating: "In the beginning — «été» 😀 1234.\n", count: 12)
      try Data(text.utf8).write(to: URL(filePath: folder + "/text"))
      let ids = try JSONDecoder().decode(
        [Int].self,
        from: Data(
          try Program.run("lagoon-lm", ["tokenize", folder, "--text", folder + "/text"]).output.utf8))
      let ingest = try Program.run(
        "lagoon-lm",
        [
          "ingest", folder, "--text", folder + "/text", "--session", "a", "--lag", "16", "--json", "--socket",
          daemon.socketPath,
        ])
      try #require(ingest.status == 0, "\(ingest.errors)")
      let report = try #require(
        JSONSerialization.jsonObject(with: Data(ingest.output.utf8)) as? [String: Any])
      #expect(report["tokens"] as? Int == ids.count)

      let arguments = [
        "generate", folder, "--session", "a", "--prompt", " And", "--max-tokens", "40", "--temperature", "1",
        "--seed",
        "9", "--socket", daemon.socketPath,
      ]
      let streamed = try Program.run("lagoon-lm", arguments)
      let whole = try Program.run("lagoon-lm", arguments + ["--json"])
      let answer = try #require(JSONSerialization.jsonObject(with: Data(whole.output.utf8)) as? [String: Any])
      #expect(answer["session_tokens"] as? Int == ids.count)
      #expect(answer["text"] as? String == String(decoding: streamed.output.utf8.dropLast(), as: UTF8.self))
      let info = try Program.run("lagoon-lm", ["info", folder])
      #expect(info.output.contains("byte-level BPE"))
    }
  }
}
