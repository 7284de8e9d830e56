import Foundation
import Testing
import Transformer

private let base: [String: any Sendable] = [
  "model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
  "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 272, "hidden_act": "silu",
  "rms_norm_eps": 1e-5,
]

private func configuration(_ changes: [String: Any?]) throws -> ModelConfiguration {
  var fields: [String: Any] = base
  for (name, value) in changes { fields[name] = value }
  return try ModelConfiguration(json: JSONSerialization.data(withJSONObject: fields))
}

/// One field of `config.json` that must be refused by its name.
struct Refusal: Sendable, CustomTestStringConvertible {
  /// JSON of the object that is laid over a good configuration.
  var json: String
  var name: String
  var says: String
  var testDescription: String { json }
}

private let refusals: [Refusal] = [
  .init(json: #"{"model_type": "gemma2"}"#, name: "model_type", says: "gemma2"),
  .init(json: #"{"model_type": null}"#, name: "model_type", says: "null"),
  .init(json: #"{"hidden_act": "gelu"}"#, name: "hidden_act", says: "gelu"),
  .init(
    json: #"{"model_type": "mistral", "attention_bias": true}"#, name: "attention_bias", says: "true"),
  .init(json: #"{"attention_bias": 1}"#, name: "attention_bias", says: "1"),
  .init(json: #"{"model_type": "qwen3", "mlp_bias": true}"#, name: "mlp_bias", says: "true"),
  .init(json: #"{"mlp_bias": "no"}"#, name: "mlp_bias", says: "no"),
  .init(json: #"{"rope_interleaved": true}"#, name: "rope_interleaved", says: "true"),
  .init(json: #"{"no_rope_layers": [1, 1, 1, 0]}"#, name: "no_rope_layers", says: "[1, 1, 1, 0]"),
  .init(
    json: #"{"model_type": "mistral", "num_key_value_heads": null}"#, name: "num_key_value_heads",
    says: "null"),
  .init(json: #"{"use_qk_norm": true}"#, name: "use_qk_norm", says: "true"),
  .init(json: #"{"sliding_window": 4096}"#, name: "sliding_window", says: "4096"),
  .init(json: #"{"use_sliding_window": true}"#, name: "use_sliding_window", says: "true"),
  .init(
    json: #"{"layer_types": ["full_attention", "sliding_attention"]}"#, name: "layer_types",
    says: "sliding_attention"),
  .init(json: #"{"num_local_experts": 8}"#, name: "num_local_experts", says: "8"),
  .init(json: #"{"num_experts": 128}"#, name: "num_experts", says: "128"),
  .init(json: #"{"n_routed_experts": 64}"#, name: "n_routed_experts", says: "64"),
  .init(json: #"{"query_pre_attn_scalar": 256}"#, name: "query_pre_attn_scalar", says: "256"),
  .init(json: #"{"attention_multiplier": 0.5}"#, name: "attention_multiplier", says: "0.5"),
  .init(json: #"{"embedding_multiplier": 12}"#, name: "embedding_multiplier", says: "12"),
  .init(json: #"{"residual_multiplier": 0.2}"#, name: "residual_multiplier", says: "0.2"),
  .init(json: #"{"logits_scaling": 8}"#, name: "logits_scaling", says: "8"),
  .init(json: #"{"logit_scale": 0.06}"#, name: "logit_scale", says: "0.06"),
  .init(json: #"{"attention_chunk_size": 8192}"#, name: "attention_chunk_size", says: "8192"),
  .init(json: #"{"qk_layernorm": true}"#, name: "qk_layernorm", says: "true"),
  .init(json: #"{"use_bias": true}"#, name: "use_bias", says: "true"),
  .init(json: #"{"final_logit_softcapping": 30.0}"#, name: "final_logit_softcapping", says: "30"),
  .init(json: #"{"attn_logit_softcapping": 50.0}"#, name: "attn_logit_softcapping", says: "50"),
  .init(json: #"{"partial_rotary_factor": 0.5}"#, name: "partial_rotary_factor", says: "0.5"),
  .init(json: #"{"quantization_config": {"bits": 4}}"#, name: "quantization_config", says: "bits"),
  .init(
    json: #"{"model_type": "qwen2", "use_sliding_window": true}"#, name: "use_sliding_window", says: "true"),
  .init(
    json: #"{"model_type": "qwen3", "use_sliding_window": true, "sliding_window": 4096}"#,
    name: "sliding_window", says: "4096"),
  .init(
    json: #"{"rope_scaling": {"rope_type": "dynamic", "factor": 8}}"#, name: "rope_scaling.rope_type",
    says: "dynamic"),
  .init(
    json: #"{"rope_parameters": {"rope_type": "longrope"}}"#, name: "rope_parameters.rope_type",
    says: "longrope"),
  .init(
    json: #"{"rope_scaling": {"type": "linear", "rope_type": "yarn", "factor": 2}}"#,
    name: "rope_scaling.type",
    says: "contradicts"),
  .init(json: #"{"rope_scaling": {"type": "linear"}}"#, name: "rope_scaling.factor", says: "null"),
  .init(
    json: #"{"rope_scaling": {"type": "linear", "factor": 0.5}}"#, name: "rope_scaling.factor",
    says: "below 1"),
  .init(
    json: #"{"rope_scaling": {"rope_type": "llama3", "factor": 8}}"#, name: "rope_scaling.low_freq_factor",
    says: "null"),
  .init(
    json:
      #"{"rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4}}"#,
    name: "rope_scaling.high_freq_factor", says: "not above"),
  .init(
    json:
      #"{"rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4}}"#,
    name: "rope_scaling.original_max_position_embeddings", says: "absent"),
  .init(
    json: #"{"rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 0}}"#,
    name: "rope_scaling.original_max_position_embeddings", says: "0"),
  .init(
    json: #"{"original_max_position_embeddings": -1, "rope_scaling": {"type": "yarn", "factor": 4}}"#,
    name: "original_max_position_embeddings", says: "-1"),
  .init(
    json:
      #"{"max_position_embeddings": 64, "rope_scaling": {"type": "yarn", "factor": 4, "attention_factor": 0}}"#,
    name: "rope_scaling.attention_factor", says: "not positive"),
  .init(
    json: #"{"max_position_embeddings": 64, "rope_scaling": {"type": "yarn", "factor": 4, "mscale": -1}}"#,
    name: "rope_scaling.mscale", says: "negative"),
  .init(
    json:
      #"{"max_position_embeddings": 64, "rope_scaling": {"type": "yarn", "factor": 4, "beta_fast": 0.5}}"#,
    name: "rope_scaling.beta_fast", says: "below beta_slow"),
  .init(
    json: #"{"max_position_embeddings": 64, "rope_theta": 1, "rope_scaling": {"type": "yarn", "factor": 4}}"#,
    name: "rope_scaling.rope_theta", says: "above 1"),
  .init(
    json: #"{"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}"#,
    name: "rope_parameters.partial_rotary_factor", says: "0.5"),
  .init(
    json: #"{"rope_parameters": {"full_attention": {"rope_type": "default"}}}"#, name: "rope_parameters",
    says: "per layer type"),
  .init(
    json: #"{"rope_parameters": {"rope_theta": 1e4}, "rope_scaling": {"rope_type": "default"}}"#,
    name: "rope_scaling",
    says: "beside"),
  .init(
    json: #"{"rope_theta": 5e5, "rope_parameters": {"rope_theta": 1e4}}"#, name: "rope_parameters.rope_theta",
    says: "contradicts"),
  .init(json: #"{"rope_theta": 0}"#, name: "rope_theta", says: "positive"),
  .init(json: #"{"hidden_size": 0}"#, name: "hidden_size", says: "0"),
  .init(json: #"{"hidden_size": "64"}"#, name: "hidden_size", says: "64"),
  .init(json: #"{"hidden_size": 64.5}"#, name: "hidden_size", says: "64.5"),
  .init(json: #"{"hidden_size": 1e30}"#, name: "hidden_size", says: "1e+30"),
  .init(json: #"{"num_hidden_layers": 100000}"#, name: "num_hidden_layers", says: "100000"),
  .init(json: #"{"num_key_value_heads": 3}"#, name: "num_key_value_heads", says: "3"),
  .init(json: #"{"head_dim": 15}"#, name: "head_dim", says: "15"),
  .init(json: #"{"hidden_size": 66}"#, name: "head_dim", says: "66"),
  .init(json: #"{"vocab_size": null}"#, name: "vocab_size", says: "null"),
  .init(json: #"{"rms_norm_eps": -1}"#, name: "rms_norm_eps", says: "-1"),
  .init(json: #"{"tie_word_embeddings": "yes"}"#, name: "tie_word_embeddings", says: "yes"),
  .init(json: #"{"eos_token_id": [1, 272]}"#, name: "eos_token_id", says: "272"),
  .init(json: #"{"eos_token_id": -1}"#, name: "eos_token_id", says: "-1"),
]

@Suite struct ConfigurationTests {
  @Test func theRepositorysModelReads() throws {
    let model = try ModelConfiguration(folder: modelFolder)
    #expect(model.layers == 4)
    #expect(model.queryHeads == 4)
    #expect(model.kvHeads == 2)
    #expect(model.headDim == 64)
    #expect(model.vocabularySize == 256)
    #expect(model.rope.theta == 100_000)
    #expect(model.tiedHead)
    #expect(model.endTokens.isEmpty)
    #expect(model.keyValueBytesPerToken(elementBytes: 2) == 2048)
  }

  @Test func bothSpellingsOfRopeAreTheSame() throws {
    let older = try configuration(["rope_theta": 5e5, "rope_scaling": nil])
    let newer = try configuration(["rope_parameters": ["rope_theta": 5e5, "rope_type": "default"]])
    let legacy = try configuration(["rope_theta": 5e5, "rope_scaling": ["type": "default"]])
    #expect(older.rope.theta == 500_000)
    #expect(older == newer)
    #expect(older == legacy)
    #expect(try configuration([:]).rope.theta == 10_000)
  }

  /// Scaled settings, in both spellings and with the defaults of the reference implementation.
  @Test func scaledRopeReads() throws {
    let linear = RotaryScaling.linear(factor: 4)
    #expect(try configuration(["rope_scaling": ["type": "linear", "factor": 4]]).rope.scaling == linear)
    #expect(
      try configuration(["rope_parameters": ["rope_type": "linear", "factor": 4.0]]).rope.scaling == linear)
    let llama3: [String: Any] = [
      "rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4,
      "original_max_position_embeddings": 8192,
    ]
    #expect(
      try configuration(["rope_scaling": llama3]).rope.scaling
        == .llama3(factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalPositions: 8192))
    func yarn(_ fields: [String: Any], maximum: Int = 128) throws -> YarnParameters {
      let scaling = fields.merging(["rope_type": "yarn"]) { $1 }
      let rope = try configuration(["rope_parameters": scaling, "max_position_embeddings": maximum]).rope
      guard case .yarn(let yarn) = rope.scaling else { throw ModelError(.malformed, "not yarn") }
      return yarn
    }
    let plain = YarnParameters(factor: 4, originalPositions: 32, attentionFactor: 0.1 * log(4.0) + 1)
    #expect(try yarn(["factor": 4, "original_max_position_embeddings": 32]) == plain)
    #expect(try yarn(["original_max_position_embeddings": 32]) == plain, "factor from the lengths")
    #expect(try yarn(["factor": 4]).originalPositions == 128)
    #expect(try yarn(["factor": 4, "attention_factor": 1.5]).attentionFactor == 1.5)
    #expect(try yarn(["factor": 4, "mscale": 1, "mscale_all_dim": 1]).attentionFactor == 1)
    #expect(
      try yarn(["factor": 4, "mscale": 0, "mscale_all_dim": 1]).attentionFactor == plain.attentionFactor)
    #expect(try yarn(["factor": 1]).attentionFactor == 1)
    #expect(try !yarn(["factor": 4, "truncate": false]).truncate)
  }

  @Test func familiesDifferAsTheyShould() throws {
    let qwen2 = try configuration(["model_type": "qwen2", "sliding_window": 4096])
    #expect(qwen2.projectionBias && !qwen2.outputBias && !qwen2.queryKeyNorm)
    let qwen3 = try configuration(["model_type": "qwen3"])
    #expect(!qwen3.projectionBias && qwen3.queryKeyNorm && qwen3.headDim == 128)
    let llama = try configuration(["attention_bias": true, "mlp_bias": true])
    #expect(llama.projectionBias && llama.outputBias && llama.mlpBias && !llama.queryKeyNorm)
    let plain = try configuration([:])
    #expect(!plain.projectionBias && !plain.outputBias && !plain.mlpBias)
  }

  @Test func generationsEndTokensAreRead() throws {
    try withTemporaryFolder { folder in
      var fields: [String: Any] = base
      fields["eos_token_id"] = 2
      func write(_ fields: [String: Any], _ name: String) throws {
        try JSONSerialization.data(withJSONObject: fields).write(
          to: URL(fileURLWithPath: folder + "/" + name))
      }
      try write(fields, "config.json")
      try write(["eos_token_id": [7, 2]], "generation_config.json")
      #expect(try ModelConfiguration(folder: folder).endTokens == [2, 7])
      try write(["eos_token_id": "end"], "generation_config.json")
      let error = #expect(throws: ModelError.self) { try ModelConfiguration(folder: folder) }
      #expect(error?.path?.hasSuffix("generation_config.json") == true)
      #expect(error?.name == "eos_token_id")
    }
  }

  @Test func defaultsAreTheFamilys() throws {
    let plain = try configuration(["num_key_value_heads": nil])
    #expect(plain.kvHeads == 4)
    #expect(plain.headDim == 16)
    #expect(!plain.tiedHead)
    #expect(try configuration(["head_dim": 24]).headDim == 24)
    #expect(try configuration(["eos_token_id": 2]).endTokens == [2])
    #expect(try configuration(["eos_token_id": [2, 7]]).endTokens == [2, 7])
    #expect(try configuration(["use_sliding_window": false, "sliding_window": 4096]).layers == 2)
  }

  @Test(arguments: refusals) func isRefusedByName(_ refusal: Refusal) throws {
    let changes = try #require(JSONSerialization.jsonObject(with: Data(refusal.json.utf8)) as? [String: Any])
    var fields: [String: Any] = base
    for (name, value) in changes { fields[name] = value }
    let data = try JSONSerialization.data(withJSONObject: fields)
    let error = #expect(throws: ModelError.self) { try ModelConfiguration(json: data) }
    #expect(error?.name == refusal.name)
    #expect(error?.message.contains(refusal.says) == true, "\(error?.description ?? "")")
  }

  @Test(arguments: ["", "[]", "{", "nonsense", "{\"model_type\": \"llama\"}"])
  func anythingElseIsATypedError(_ text: String) {
    #expect(throws: ModelError.self) { try ModelConfiguration(json: Data(text.utf8)) }
  }

  @Test func deepAndLongFilesAreTypedErrors() {
    let deep = "{\"a\":" + String(repeating: "[", count: 100_000)
    #expect(throws: ModelError.self) { try ModelConfiguration(json: Data(deep.utf8)) }
    let long = Data(repeating: UInt8(ascii: " "), count: 2 << 20)
    #expect(throws: ModelError.self) { try ModelConfiguration(json: long) }
    #expect(throws: ModelError.self) { try ModelConfiguration(folder: "/nonexistent") }
  }
}
