import Foundation
import Safetensors

/// The weights of a model folder by their Hugging Face names, checked against the configuration before any is used.
struct Checkpoint {
  let file: SafetensorsFile
  private let configuration: ModelConfiguration

  /// Maps `model.safetensors` and checks that it has every tensor in its shape, and none besides.
  ///
  /// - Throws: `io`, `malformed`; `mismatch` naming the tensor; `unsupported` for a sharded folder.
  init(folder: String, _ configuration: ModelConfiguration) throws(ModelError) {
    let path = folder + "/model.safetensors"
    let index = folder + "/model.safetensors.index.json"
    if !FileManager.default.fileExists(atPath: path), FileManager.default.fileExists(atPath: index) {
      throw ModelError(
        .unsupported, "sharded checkpoints are not supported, only one model.safetensors", path: index)
    }
    do throws(SafetensorsError) { file = try SafetensorsFile(path: path) } catch { throw ModelError(error) }
    self.configuration = configuration
    var expected = Set<String>()
    for (name, shape) in Self.tensors(configuration) {
      expected.insert(name)
      try check(name, shape)
    }
    for name in file.names where !expected.contains(name) && !Self.isIgnored(name, configuration) {
      throw ModelError(.mismatch, "not a tensor of this configuration", path: path, name: name)
    }
  }

  private func check(_ name: String, _ shape: [Int]) throws(ModelError) {
    let slice = try tensor(name)
    guard slice.shape == shape else {
      throw ModelError(
        .mismatch, "shape \(slice.shape), and the configuration asks for \(shape)", path: file.path,
        name: name)
    }
    guard slice.dtype == .float32 || slice.dtype == .bfloat16 || slice.dtype == .float16 else {
      throw ModelError(
        .unsupported, "weights of \(slice.dtype.rawValue) are not supported, only F32, BF16 and F16",
        path: file.path,
        name: name)
    }
  }

  /// Every tensor of a decoder with its shape.
  private static func tensors(_ c: ModelConfiguration) -> [(String, [Int])] {
    var result = [
      ("model.embed_tokens.weight", [c.vocabularySize, c.hiddenSize]), ("model.norm.weight", [c.hiddenSize]),
    ]
    if !c.tiedHead { result.append(("lm_head.weight", [c.vocabularySize, c.hiddenSize])) }
    for layer in 0..<c.layers {
      let prefix = layerPrefix(layer)
      result += [
        (prefix + "input_layernorm.weight", [c.hiddenSize]),
        (prefix + "self_attn.q_proj.weight", [c.queryHeads * c.headDim, c.hiddenSize]),
        (prefix + "self_attn.k_proj.weight", [c.kvHeads * c.headDim, c.hiddenSize]),
        (prefix + "self_attn.v_proj.weight", [c.kvHeads * c.headDim, c.hiddenSize]),
        (prefix + "self_attn.o_proj.weight", [c.hiddenSize, c.queryHeads * c.headDim]),
        (prefix + "post_attention_layernorm.weight", [c.hiddenSize]),
        (prefix + "mlp.gate_proj.weight", [c.intermediateSize, c.hiddenSize]),
        (prefix + "mlp.up_proj.weight", [c.intermediateSize, c.hiddenSize]),
        (prefix + "mlp.down_proj.weight", [c.hiddenSize, c.intermediateSize]),
      ]
    }
    return result
  }

  static func layerPrefix(_ layer: Int) -> String { "model.layers.\(layer)." }

  /// Tensors that exporters add and that say nothing new: a tied head's second copy, and RoPE frequencies.
  private static func isIgnored(_ name: String, _ configuration: ModelConfiguration) -> Bool {
    name.hasSuffix(".rotary_emb.inv_freq") || (configuration.tiedHead && name == "lm_head.weight")
  }

  func tensor(_ name: String) throws(ModelError) -> TensorSlice {
    do throws(SafetensorsError) { return try file.tensor(name) } catch { throw ModelError(error) }
  }

  func norm(_ name: String) throws(ModelError) -> RMSNorm {
    do throws(SafetensorsError) {
      return RMSNorm(weight: try file.floats(name), epsilon: Float(configuration.normEpsilon))
    } catch {
      throw ModelError(error)
    }
  }

  /// The linear layer of a `[outputs, inputs]` tensor.
  func linear(_ name: String, _ backend: MatmulBackend) throws(ModelError) -> Linear {
    let slice = try tensor(name)
    let floats = FloatBuffer(count: slice.count)
    slice.copyFloats(into: floats.writable(slice.count))
    return try Linear(
      backend, inputs: slice.shape[1], outputs: slice.shape[0], weights: floats.writable(slice.count))
  }
}

extension ModelError {
  init(_ error: SafetensorsError) {
    let code: Code =
      switch error.code {
      case .io: .io
      case .notFound, .mismatch: .mismatch
      case .unsupported: .unsupported
      default: .malformed
      }
    self.init(code, error.message, path: error.path, name: error.tensor)
  }
}
