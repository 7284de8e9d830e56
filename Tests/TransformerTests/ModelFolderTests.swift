import Foundation
import Safetensors
import Testing
import Transformer

/// A tiny untied model with seeded random weights, as f32.
struct TinyModel {
  var config: [String: Any] = [
    "model_type": "llama", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 40, "hidden_act": "silu",
    "head_dim": 12,
  ]
  var tensors: [(name: String, shape: [Int], values: [Float])] = []

  init() {
    var noise = Noise(7)
    func tensor(_ name: String, _ shape: [Int]) {
      tensors.append((name, shape, noise.floats(shape.reduce(1, *)).map { $0 * 0.3 }))
    }
    tensor("model.embed_tokens.weight", [40, 16])
    tensor("lm_head.weight", [40, 16])
    tensor("model.norm.weight", [16])
    for layer in 0..<2 {
      tensor("model.layers.\(layer).input_layernorm.weight", [16])
      tensor("model.layers.\(layer).self_attn.q_proj.weight", [24, 16])
      tensor("model.layers.\(layer).self_attn.k_proj.weight", [12, 16])
      tensor("model.layers.\(layer).self_attn.v_proj.weight", [12, 16])
      tensor("model.layers.\(layer).self_attn.o_proj.weight", [16, 24])
      tensor("model.layers.\(layer).post_attention_layernorm.weight", [16])
      tensor("model.layers.\(layer).mlp.gate_proj.weight", [24, 16])
      tensor("model.layers.\(layer).mlp.up_proj.weight", [24, 16])
      tensor("model.layers.\(layer).mlp.down_proj.weight", [16, 24])
    }
  }

  mutating func change(_ name: String, _ body: (inout (name: String, shape: [Int], values: [Float])) -> Void)
  {
    for index in tensors.indices where tensors[index].name == name { body(&tensors[index]) }
  }

  func write(to folder: String) throws {
    try JSONSerialization.data(withJSONObject: config).write(
      to: URL(fileURLWithPath: folder + "/config.json"))
    var writer = SafetensorsWriter()
    for tensor in tensors { try writer.add(tensor.name, shape: tensor.shape, tensor.values) }
    try writer.write(to: folder + "/model.safetensors")
  }

  func load<Result>(_ body: (DecoderModel) throws -> Result) throws -> Result {
    try withTemporaryFolder { folder in
      try write(to: folder)
      return try body(DecoderModel(folder: folder))
    }
  }
}

@Suite struct ModelFolderTests {
  private func refusal(_ model: TinyModel) -> ModelError? {
    do {
      try model.load { _ in }
      return nil
    } catch {
      return error as? ModelError
    }
  }

  @Test func tensorsThatDoNotFitAreRefusedByName() throws {
    #expect(refusal(TinyModel()) == nil)
    let name = "model.layers.1.self_attn.k_proj.weight"

    var missing = TinyModel()
    missing.tensors.removeAll { $0.name == name }
    #expect(refusal(missing)?.name == name)

    var shaped = TinyModel()
    shaped.change(name) { $0.shape = [16, 12] }
    #expect(refusal(shaped)?.name == name)
    #expect(refusal(shaped)?.message.contains("[12, 16]") == true)

    var surplus = TinyModel()
    surplus.tensors.append(("model.layers.0.self_attn.q_proj.bias", [24], Noise.zeros(24)))
    #expect(refusal(surplus)?.name == "model.layers.0.self_attn.q_proj.bias")

    var tied = TinyModel()
    tied.config["tie_word_embeddings"] = true
    #expect(refusal(tied) == nil)
  }

  @Test func integerWeightsAreRefused() throws {
    try withTemporaryFolder { folder in
      var model = TinyModel()
      model.tensors.removeAll { $0.name == "model.norm.weight" }
      try model.write(to: folder)
      var writer = SafetensorsWriter()
      for tensor in model.tensors { try writer.add(tensor.name, shape: tensor.shape, tensor.values) }
      try writer.add("model.norm.weight", shape: [16], [Int32](repeating: 1, count: 16))
      try writer.write(to: folder + "/model.safetensors")
      let error = #expect(throws: ModelError.self) { try DecoderModel(folder: folder) }
      #expect(error?.name == "model.norm.weight")
      #expect(error?.message.contains("I32") == true)
    }
  }

  /// The same weights as f32, f16 and bf16 files are the same model to the forward pass when they are exact in all three.
  @Test(arguments: [TensorDtype.bfloat16, .float16]) func narrowFilesReadExactly(_ dtype: TensorDtype) throws
  {
    var model = TinyModel()
    for index in model.tensors.indices {
      // Multiples of 1/64 below 1/2 have at most five significant bits.
      model.tensors[index].values = model.tensors[index].values.map { ($0 * 64).rounded() / 64 }
    }
    let tokens: [UInt32] = [1, 39, 5, 0, 17, 17]
    let wide = try model.load { try denseLogits($0, tokens, chunks: [6]) }
    let narrow = try withTemporaryFolder { folder in
      try model.write(to: folder)
      var writer = SafetensorsWriter()
      for tensor in model.tensors {
        let bytes = tensor.values.flatMap { value -> [UInt8] in
          let bits = dtype == .bfloat16 ? UInt16(value.bitPattern >> 16) : Float16(value).bitPattern
          return [UInt8(truncatingIfNeeded: bits), UInt8(truncatingIfNeeded: bits >> 8)]
        }
        try writer.add(tensor.name, dtype: dtype, shape: tensor.shape, bytes: bytes)
      }
      try writer.write(to: folder + "/model.safetensors")
      return try denseLogits(try DecoderModel(folder: folder), tokens, chunks: [6])
    }
    #expect(wide == narrow)
  }

  @Test func fingerprintsTellModelsApart() throws {
    func fingerprint(_ model: TinyModel) throws -> [UInt8] { try model.load { try $0.fingerprint() } }
    let original = try fingerprint(TinyModel())
    #expect(original.count == 32)
    #expect(try fingerprint(TinyModel()) == original)

    var weight = TinyModel()
    weight.change("model.layers.1.mlp.up_proj.weight") { $0.values[17] = $0.values[17].nextUp }
    var epsilon = TinyModel()
    epsilon.config["rms_norm_eps"] = 1e-5
    var theta = TinyModel()
    theta.config["rope_theta"] = 20_000
    var swapped = TinyModel()
    let (up, gate) = (
      swapped.tensors.firstIndex { $0.name.hasSuffix("0.mlp.up_proj.weight") },
      swapped.tensors.firstIndex { $0.name.hasSuffix("0.mlp.gate_proj.weight") }
    )
    let (first, second) = (try #require(up), try #require(gate))
    swapped.tensors[first].name = "model.layers.0.mlp.gate_proj.weight"
    swapped.tensors[second].name = "model.layers.0.mlp.up_proj.weight"
    let others = try [weight, epsilon, theta, swapped].map(fingerprint)
    #expect(Set(others + [original]).count == 5)

    var reordered = TinyModel()
    reordered.tensors.reverse()
    #expect(try fingerprint(reordered) == original, "the order in the file is not part of the model")
  }
}

extension Noise {
  static func zeros(_ count: Int) -> [Float] { [Float](repeating: 0, count: count) }
}
