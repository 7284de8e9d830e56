import Foundation
import Testing

/// `lagoon-lm info`: what it says of a model, and that opening one reads next to nothing of it.
@Suite struct InfoTests {
  private func json(_ arguments: [String]) throws -> [String: Any] {
    let run = try Program.run("lagoon-lm", ["info", "--json"] + arguments)
    try #require(run.status == 0, "\(run.errors)")
    return try #require(JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
  }

  @Test func theDemosModelIsDescribed() throws {
    let model = Program.root + "/data/kjv-tiny"
    let info = try json([model, "--tokens", "1000", "--sinks", "16", "--lag", "64", "--ratio", "0.25"])
    #expect(info["family"] as? String == "llama")
    #expect(info["parameters"] as? Int == 2_427_136)
    #expect(info["tokenizer"] as? String == "bytes, 256 tokens")
    #expect(info["chat_template"] as? Bool == false)
    let caches = try #require(info["caches"] as? [[String: Any]])
    // 15 complete partitions behind the sinks, 14 of them scored: 16 + 14 · 16 + 64 + 24 rows.
    #expect(caches.map { $0["rows_per_head"] as? Int } == [1000, 328])
    #expect(caches.map { $0["bf16_bytes"] as? Int } == [2_048_000, 671_744])
    #expect(caches.map { $0["f32_bytes"] as? Int } == [4_096_000, 1_343_488])
    let memory = try #require(info["memory"] as? [[String: Any]])
    #expect(memory.map { $0["compute"] as? String } == ["f32", "bf16"])
    let text = try Program.run("lagoon-lm", ["info", model])
    #expect(text.status == 0)
    for word in ["llama", "2,427,136", "bytes, 256 tokens", "ratio 0.25", "chat template  none"] {
      #expect(text.output.contains(word))
    }
  }

  /// A sharded checkpoint of 4 GB, sparse on disk: opening reads its headers and norms.
  @Test func aLargeCheckpointOpensWithoutBeingRead() throws {
    let folder = FileManager.default.temporaryDirectory.path + "/lagoon-large-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let bytes = try SparseCheckpoint(hidden: 2048, intermediate: 5632, layers: 20, vocabulary: 65_536).write(
      to: folder)
    #expect(bytes > 4_000_000_000)
    let info = try json([folder])
    let weights = try #require(info["weights"] as? [String: Any])
    #expect(weights["mapped_bytes"] as? Int == bytes)
    #expect(weights["files"] as? Int == 21)
    let opening = try #require(info["opening"] as? [String: Any])
    let resident = try #require(opening["resident_bytes"] as? Int)
    #expect(resident > 0 && resident < 32 << 20, "\(resident)")
  }

  @Test func mistakesAreSaidPlainly() throws {
    let missing = try Program.run("lagoon-lm", ["info", "/nowhere"])
    #expect(missing.status == 1 && missing.errors.contains("/nowhere/config.json"))
    for wrong in [["--ratio", "1.5"], ["--lag", "0"], ["--tokens", "0"], ["--chunk", "0"]] {
      #expect(try Program.run("lagoon-lm", ["info", Program.root + "/data/kjv-tiny"] + wrong).status == 64)
    }
  }
}

/// A Llama folder of f32 zeros that takes no disk: a shard for each layer and one for the rest.
private struct SparseCheckpoint {
  var hidden: Int
  var intermediate: Int
  var layers: Int
  var vocabulary: Int

  /// - Returns: bytes of all tensors.
  func write(to folder: String) throws -> Int {
    let heads = hidden / 64
    let config: [String: Any] = [
      "model_type": "llama", "hidden_size": hidden, "intermediate_size": intermediate,
      "num_hidden_layers": layers,
      "num_attention_heads": heads, "num_key_value_heads": heads / 4, "vocab_size": vocabulary,
      "hidden_act": "silu", "rms_norm_eps": 1e-5, "tie_word_embeddings": true,
      "max_position_embeddings": 8192,
    ]
    try write(config, folder + "/config.json")
    var map: [String: String] = [:]
    var total = 0
    for shard in 0...layers {
      let name = "model-\(shard).safetensors"
      let tensors = shard < layers ? layer(shard, keyWidth: hidden / 4) : rest
      for tensor in tensors { map[tensor.name] = name }
      total += try write(tensors, folder + "/" + name)
    }
    try write(["weight_map": map], folder + "/model.safetensors.index.json")
    return total
  }

  private var rest: [(name: String, shape: [Int])] {
    [("model.embed_tokens.weight", [vocabulary, hidden]), ("model.norm.weight", [hidden])]
  }

  private func layer(_ index: Int, keyWidth: Int) -> [(name: String, shape: [Int])] {
    [
      ("input_layernorm", [hidden]), ("post_attention_layernorm", [hidden]),
      ("self_attn.q_proj", [hidden, hidden]), ("self_attn.k_proj", [keyWidth, hidden]),
      ("self_attn.v_proj", [keyWidth, hidden]), ("self_attn.o_proj", [hidden, hidden]),
      ("mlp.gate_proj", [intermediate, hidden]), ("mlp.up_proj", [intermediate, hidden]),
      ("mlp.down_proj", [hidden, intermediate]),
    ].map { ("model.layers.\(index).\($0.0).weight", $0.1) }
  }

  private func write(_ object: [String: Any], _ path: String) throws {
    try JSONSerialization.data(withJSONObject: object).write(to: URL(filePath: path))
  }

  /// A header, and a file that is as long as it says and holds nothing behind it.
  private func write(_ tensors: [(name: String, shape: [Int])], _ path: String) throws -> Int {
    var header: [String: Any] = [:]
    var end = 0
    for tensor in tensors {
      let start = end
      end += tensor.shape.reduce(4, *)
      header[tensor.name] = ["dtype": "F32", "shape": tensor.shape, "data_offsets": [start, end]]
    }
    let json = try JSONSerialization.data(withJSONObject: header)
    let length = withUnsafeBytes(of: UInt64(json.count).littleEndian) { Data($0) }
    try (length + json).write(to: URL(filePath: path))
    let file = try FileHandle(forWritingTo: URL(filePath: path))
    try file.truncate(atOffset: UInt64(8 + json.count + end))
    try file.close()
    return end
  }
}
