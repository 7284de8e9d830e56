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
  .init(json: #"{"model_type": "qwen2"}"#, name: "model_type", says: "qwen2"),
  .init(json: #"{"model_type": null}"#, name: "model_type", says: "null"),
  .init(json: #"{"hidden_act": "gelu"}"#, name: "hidden_act", says: "gelu"),
  .init(json: #"{"attention_bias": true}"#, name: "attention_bias", says: "true"),
  .init(json: #"{"mlp_bias": true}"#, name: "mlp_bias", says: "true"),
  .init(json: #"{"use_qk_norm": true}"#, name: "use_qk_norm", says: "true"),
  .init(json: #"{"sliding_window": 4096}"#, name: "sliding_window", says: "4096"),
  .init(json: #"{"use_sliding_window": true}"#, name: "use_sliding_window", says: "true"),
  .init(
    json: #"{"layer_types": ["full_attention", "sliding_attention"]}"#, name: "layer_types",
    says: "sliding_attention"),
  .init(json: #"{"num_local_experts": 8}"#, name: "num_local_experts", says: "8"),
  .init(json: #"{"final_logit_softcapping": 30.0}"#, name: "final_logit_softcapping", says: "30"),
  .init(json: #"{"attn_logit_softcapping": 50.0}"#, name: "attn_logit_softcapping", says: "50"),
  .init(json: #"{"partial_rotary_factor": 0.5}"#, name: "partial_rotary_factor", says: "0.5"),
  .init(json: #"{"quantization_config": {"bits": 4}}"#, name: "quantization_config", says: "bits"),
  .init(
    json: #"{"rope_scaling": {"rope_type": "llama3", "factor": 8}}"#, name: "rope_scaling.rope_type",
    says: "llama3"),
  .init(
    json: #"{"rope_scaling": {"type": "linear", "factor": 2}}"#, name: "rope_scaling.type", says: "linear"),
  .init(
    json: #"{"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}"#,
    name: "rope_parameters.rope_type",
    says: "yarn"),
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
