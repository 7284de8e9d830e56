import Foundation
import Safetensors
import Testing
import Transformer

/// Adapters in PEFT's layout, and models that they are merged into.
@Suite struct LowRankFolderTests {
  private static let configurations = [
    LowRankConfiguration(rank: 3, alpha: 0.1 + 0.2, trainsNorms: true, trainsEmbeddings: true),
    LowRankConfiguration(rank: 1, alpha: 16, targets: ["o_proj"], isRankStabilized: true),
  ]

  private func file(_ folder: String) -> String { folder + "/adapter_model.safetensors" }

  private func fields(_ folder: String) throws -> [String: Any] {
    let data = try Data(contentsOf: URL(fileURLWithPath: folder + "/adapter_config.json"))
    return try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
  }

  @Test(arguments: RandomDecoder.variants, configurations) func adaptersComeBackBitForBit(
    _ variant: RandomDecoder, _ configuration: LowRankConfiguration
  ) throws {
    try withTemporaryFolder { folder in
      let adapter = try LowRankAdapter(variant.load(), configuration, seed: 7)
      try adapter.fill(3)
      try adapter.save(to: folder + "/new/adapter")
      let names = try FileManager.default.contentsOfDirectory(atPath: folder + "/new/adapter")
      #expect(Set(names) == ["adapter_config.json", "adapter_model.safetensors"])

      let other = try LowRankAdapter(variant.load(), configuration, seed: 8)
      try other.load(from: folder + "/new/adapter")
      #expect(other.copyOfParameters == adapter.copyOfParameters)
      try other.apply()
      #expect(other.decoder.copyOfWeights == adapter.decoder.copyOfWeights)

      let opened = try LowRankAdapter(variant.load(), folder: folder + "/new/adapter")
      #expect(opened.configuration == configuration)
      #expect(opened.copyOfParameters == adapter.copyOfParameters)
      #expect(opened.decoder.copyOfWeights == adapter.decoder.copyOfWeights)
    }
  }

  /// The names and fields that PEFT 0.21 writes for such an adapter.
  @Test func theLayoutIsPEFTs() throws {
    try withTemporaryFolder { folder in
      let decoder = try RandomDecoder.variants[4].load()
      let adapter = try LowRankAdapter(
        decoder,
        LowRankConfiguration(
          rank: 2, alpha: 4, targets: ["layers.1.self_attn.q_proj", "layers.0.mlp.down_proj"],
          trainsNorms: true, trainsEmbeddings: true), seed: 7)
      try adapter.save(to: folder)
      let weights = try SafetensorsFile(path: file(folder))
      let prefix = "base_model.model.model."
      let expected: [String: [Int]] = [
        prefix + "embed_tokens.weight": [37, 16], "base_model.model.lm_head.weight": [37, 16],
        prefix + "layers.0.input_layernorm.weight": [16], prefix + "layers.1.input_layernorm.weight": [16],
        prefix + "layers.0.post_attention_layernorm.weight": [16],
        prefix + "layers.1.post_attention_layernorm.weight": [16], prefix + "norm.weight": [16],
        prefix + "layers.0.mlp.down_proj.lora_A.weight": [2, 20],
        prefix + "layers.0.mlp.down_proj.lora_B.weight": [16, 2],
        prefix + "layers.1.self_attn.q_proj.lora_A.weight": [2, 16],
        prefix + "layers.1.self_attn.q_proj.lora_B.weight": [16, 2],
      ]
      #expect(Set(weights.names) == Set(expected.keys))
      for (name, shape) in expected { #expect(try weights.tensor(name).shape == shape) }
      #expect(weights.metadata == ["format": "pt"])
      #expect(
        try weights.floats("base_model.model.lm_head.weight") == decoder.weights["model.embed_tokens.weight"])

      let fields = try fields(folder)
      #expect(fields["peft_type"] as? String == "LORA")
      #expect(fields["task_type"] as? String == "CAUSAL_LM")
      #expect(fields["bias"] as? String == "none")
      #expect(fields["r"] as? Int == 2)
      #expect(fields["lora_alpha"] as? Int == 4)
      #expect(
        fields["target_modules"] as? [String] == ["layers.1.self_attn.q_proj", "layers.0.mlp.down_proj"])
      #expect(fields["modules_to_save"] as? [String] == ["embed_tokens", "lm_head", "norm"])
      #expect(fields["ensure_weight_tying"] as? Bool == true)
      for name in ["fan_in_fan_out", "use_dora", "use_rslora"] { #expect(fields[name] as? Bool == false) }
      #expect((fields["base_model_name_or_path"] as? String)?.isEmpty == false)
    }
  }

  /// A merged folder has the bits of the applied adapter, in f32 and in the model's own types.
  @Test(arguments: ["llama-linear-biases", "qwen3-qknorm-sharded", "mistral-headdim", "llama3-scaled-tied"])
  func mergeIsApply(_ name: String) throws {
    let source = modelFixture(name)
    for configuration in Self.configurations {
      try withTemporaryFolder { folder in
        let adapter = try LowRankAdapter(TrainableDecoder(folder: source), configuration, seed: 7)
        try adapter.fill(3)
        try adapter.save(to: folder + "/adapter")
        let merge = try LowRankMerge(model: source, adapter: folder + "/adapter")
        #expect(merge.configuration == configuration)
        for type in SavedWeights.allCases {
          try adapter.decoder.save(to: folder + "/applied", as: type)
          try merge.write(to: folder + "/merged", as: type)
          for file in try FileManager.default.contentsOfDirectory(atPath: folder + "/applied") {
            #expect(
              FileManager.default.contentsEqual(
                atPath: folder + "/applied/" + file, andPath: folder + "/merged/" + file), "\(file)")
          }
        }
        let merged = try DecoderModel(folder: folder + "/merged")
        #expect(merged.configuration == adapter.decoder.configuration)
      }
    }
  }

  /// Rotary settings that an adapter was trained with go where it goes.
  @Test func rotarySettingsComeAlong() throws {
    let source = modelFixture("mistral-headdim")
    let configuration = LowRankConfiguration(rank: 2, alpha: 4)
    let rope = RotaryOverride(theta: 70_000, yarnFactor: 2.5, originalPositions: 48)
    try withTemporaryFolder { folder in
      func adapter(_ rope: RotaryOverride?) throws -> LowRankAdapter {
        try LowRankAdapter(TrainableDecoder(folder: source, rope: rope), configuration, seed: 7)
      }
      let stretched = try adapter(rope)
      try stretched.fill(3)
      try stretched.save(to: folder + "/adapter")
      try stretched.decoder.save(to: folder + "/applied")
      try LowRankMerge(model: source, adapter: folder + "/adapter").write(to: folder + "/merged")
      for file in ["config.json", "model.safetensors"] {
        #expect(
          FileManager.default.contentsEqual(
            atPath: folder + "/applied/" + file, andPath: folder + "/merged/" + file))
      }
      try adapter(rope).load(from: folder + "/adapter")

      let plain = try adapter(nil)
      let error = #expect(throws: ModelError.self) { try plain.load(from: folder + "/adapter") }
      #expect(error?.code == .mismatch)
      #expect(error?.path == folder + "/adapter/rotary_override.json")
      #expect(throws: ModelError.self) { try LowRankAdapter(plain.decoder, folder: folder + "/adapter") }
      try "{".write(toFile: folder + "/adapter/rotary_override.json", atomically: true, encoding: .utf8)
      #expect(throws: ModelError.self) { try LowRankMerge(model: source, adapter: folder + "/adapter") }
      // An adapter without takes the place of one with.
      try plain.save(to: folder + "/adapter")
      try plain.load(from: folder + "/adapter")
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder + "/adapter").count == 2)
    }
  }

  @Test func adaptersOfOthersAreRefused() throws {
    let configuration = LowRankConfiguration(rank: 2, alpha: 4, trainsNorms: true)
    try withTemporaryFolder { folder in
      let adapter = try LowRankAdapter(RandomDecoder.variants[0].load(), configuration, seed: 7)
      try adapter.save(to: folder)
      let larger = try RandomDecoder.variants[3].load()
      let shape = #expect(throws: ModelError.self) { try LowRankAdapter(larger, folder: folder) }
      #expect(shape?.code == .mismatch)
      #expect(shape?.name?.contains("layers.0.") == true)

      func refusal(_ change: (inout LowRankConfiguration) -> Void) throws -> ModelError? {
        var other = configuration
        change(&other)
        let adapter = try LowRankAdapter(RandomDecoder.variants[0].load(), other, seed: 7)
        let before = adapter.copyOfParameters
        let error = #expect(throws: ModelError.self) { try adapter.load(from: folder) }
        #expect(adapter.copyOfParameters == before)
        #expect(error?.path?.hasSuffix("adapter_config.json") == true)
        return error
      }
      #expect(try refusal { $0.rank = 3 }?.name == "r")
      #expect(try refusal { $0.alpha = 5 }?.name == "lora_alpha")
      #expect(try refusal { $0.isRankStabilized = true }?.name == "use_rslora")
      #expect(try refusal { $0.targets = ["q_proj"] }?.name?.hasSuffix("down_proj.lora_A.weight") == true)
      let norm = try refusal { $0.modulesToSave = [] }
      #expect(norm?.name == "base_model.model.model.layers.0.input_layernorm.weight")
    }
  }

  /// One field of `adapter_config.json` laid over a good one, and what the refusal names.
  private static let refusedFields: [(String, any Sendable)] = [
    ("peft_type", "IA3"), ("task_type", "SEQ_CLS"), ("bias", "all"), ("bias", "lora_only"),
    ("use_dora", true), ("use_qalora", true), ("lora_bias", true), ("fan_in_fan_out", true),
    ("rank_pattern", ["q_proj": 4]), ("alpha_pattern", ["q_proj": 4]), ("layers_to_transform", [0]),
    ("layers_pattern", "layers"), ("layer_replication", [[0, 1]]), ("exclude_modules", ["q_proj"]),
    ("trainable_token_indices", [1]), ("target_parameters", ["experts.weight"]),
    ("init_lora_weights", "pissa"), ("init_lora_weights", "loftq"), ("a_field_of_tomorrow", 1),
    ("target_modules", "all-linear"), ("target_modules", [1]), ("target_modules", ["q_proj", "nothing"]),
    ("modules_to_save", "norm"), ("modules_to_save", ["nothing"]), ("r", 0), ("r", 2.5), ("r", 1000),
    ("r", "8"), ("lora_alpha", 0), ("lora_alpha", "16"), ("use_rslora", "yes"),
  ]

  @Test func unsupportedFieldsAreRefusedByName() throws {
    let source = modelFixture("mistral-headdim")
    try withTemporaryFolder { folder in
      let adapter = try LowRankAdapter(
        TrainableDecoder(folder: source), LowRankConfiguration(rank: 2, alpha: 4), seed: 7)
      try adapter.save(to: folder)
      let good = try fields(folder)
      func write(_ fields: [String: Any]) throws {
        try JSONSerialization.data(withJSONObject: fields)
          .write(to: URL(fileURLWithPath: folder + "/adapter_config.json"))
      }
      for (name, value) in Self.refusedFields {
        var bad = good
        bad[name] = value
        try write(bad)
        let error = #expect(throws: ModelError.self, "\(name) \(value)") {
          try LowRankMerge(model: source, adapter: folder)
        }
        #expect(error?.name == name)
        #expect(error?.path == folder + "/adapter_config.json")
      }
      for name in ["peft_type", "r", "lora_alpha", "target_modules"] {
        var bad = good
        bad[name] = nil
        try write(bad)
        let error = #expect(throws: ModelError.self) { try LowRankMerge(model: source, adapter: folder) }
        #expect(error?.name == name)
      }
      // What says nothing about the arithmetic, and features that are off.
      let neutral: [String: Any] = [
        "revision": "main", "lora_dropout": 0.1, "megatron_core": "megatron.core", "peft_version": "9",
        "layers_to_transform": NSNull(), "loftq_config": [String: Int](), "a_field_of_tomorrow": false,
        "init_lora_weights": "gaussian", "exclude_modules": [String](), "modules_to_save": NSNull(),
      ]
      try write(good.merging(neutral) { $1 })
      _ = try LowRankMerge(model: source, adapter: folder)
      try "{".write(toFile: folder + "/adapter_config.json", atomically: true, encoding: .utf8)
      #expect(throws: ModelError.self) { try LowRankMerge(model: source, adapter: folder) }
    }
  }

  @Test func damagedWeightsAreRefused() throws {
    let source = modelFixture("llama3-scaled-tied")
    try withTemporaryFolder { folder in
      let adapter = try LowRankAdapter(
        TrainableDecoder(folder: source),
        LowRankConfiguration(rank: 2, alpha: 4, targets: ["q_proj"], trainsEmbeddings: true), seed: 7)
      try adapter.save(to: folder)
      let good = try SafetensorsFile(path: file(folder))
      let whole = try Data(contentsOf: URL(fileURLWithPath: file(folder)))

      /// The refusal of the file with its tensors changed.
      func refusal(_ change: (inout [(name: String, shape: [Int], values: [Float])]) -> Void) throws
        -> ModelError?
      {
        var tensors: [(name: String, shape: [Int], values: [Float])] = []
        for name in good.names { tensors.append((name, try good.tensor(name).shape, try good.floats(name))) }
        change(&tensors)
        var writer = SafetensorsWriter()
        for (name, shape, values) in tensors { try writer.add(name, shape: shape, values) }
        try writer.write(to: file(folder))
        let before = adapter.copyOfParameters
        let error = #expect(throws: ModelError.self) { try adapter.load(from: folder) }
        #expect(adapter.copyOfParameters == before)
        #expect(error?.path == file(folder))
        return error
      }
      let name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
      let head = "base_model.model.lm_head.weight"
      #expect(try refusal { $0.removeAll { $0.name == name } }?.name == name)
      #expect(try refusal { $0.removeAll { $0.name == head } }?.name == head)
      let magnitude = name.replacing("lora_A.weight", with: "lora_magnitude_vector")
      #expect(try refusal { $0.append((magnitude, [1], [1])) }?.name == magnitude)
      let turned = try refusal { tensors in
        for index in tensors.indices where tensors[index].name == name { tensors[index].shape.reverse() }
      }
      #expect(turned?.name == name)
      let untied = try refusal { tensors in
        for index in tensors.indices where tensors[index].name == head { tensors[index].values[5] += 1 }
      }
      #expect(untied?.name == head)

      for cut in [0, 7, 100, whole.count - 1] {
        try whole.prefix(cut).write(to: URL(fileURLWithPath: file(folder)))
        let error = #expect(throws: ModelError.self) { try adapter.load(from: folder) }
        #expect(error?.code == .malformed)
      }
      try FileManager.default.removeItem(atPath: file(folder))
      #expect(throws: ModelError.self) { try adapter.load(from: folder) }
      #expect(throws: ModelError.self) { try adapter.load(from: folder + "/none") }
    }
  }
}
