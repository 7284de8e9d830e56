/// Every tensor of a decoder by its Hugging Face name, with its shape.
struct DecoderTensors {
  static let embedding = "model.embed_tokens.weight"
  static let finalNorm = "model.norm.weight"
  static let head = "lm_head.weight"

  static func layer(_ layer: Int) -> String { "model.layers.\(layer)." }

  /// In the order of the forward pass.
  let shapes: [(name: String, shape: [Int])]

  init(_ c: ModelConfiguration) {
    var result: [(name: String, shape: [Int])] = [(Self.embedding, [c.vocabularySize, c.hiddenSize])]
    func linear(_ name: String, _ outputs: Int, _ inputs: Int, bias: Bool) {
      result.append((name + ".weight", [outputs, inputs]))
      if bias { result.append((name + ".bias", [outputs])) }
    }
    let (queryWidth, keyWidth) = (c.queryHeads * c.headDim, c.kvHeads * c.headDim)
    for layer in 0..<c.layers {
      let prefix = Self.layer(layer)
      result.append((prefix + "input_layernorm.weight", [c.hiddenSize]))
      linear(prefix + "self_attn.q_proj", queryWidth, c.hiddenSize, bias: c.projectionBias)
      linear(prefix + "self_attn.k_proj", keyWidth, c.hiddenSize, bias: c.projectionBias)
      linear(prefix + "self_attn.v_proj", keyWidth, c.hiddenSize, bias: c.projectionBias)
      if c.queryKeyNorm {
        result.append((prefix + "self_attn.q_norm.weight", [c.headDim]))
        result.append((prefix + "self_attn.k_norm.weight", [c.headDim]))
      }
      linear(prefix + "self_attn.o_proj", c.hiddenSize, queryWidth, bias: c.outputBias)
      result.append((prefix + "post_attention_layernorm.weight", [c.hiddenSize]))
      linear(prefix + "mlp.gate_proj", c.intermediateSize, c.hiddenSize, bias: c.mlpBias)
      linear(prefix + "mlp.up_proj", c.intermediateSize, c.hiddenSize, bias: c.mlpBias)
      linear(prefix + "mlp.down_proj", c.hiddenSize, c.intermediateSize, bias: c.mlpBias)
    }
    result.append((Self.finalNorm, [c.hiddenSize]))
    if !c.tiedHead { result.append((Self.head, [c.vocabularySize, c.hiddenSize])) }
    shapes = result
  }
}

extension ModelConfiguration {
  /// Number of weights, a tied matrix counted once.
  public var parameterCount: Int {
    DecoderTensors(self).shapes.reduce(0) { $0 + $1.shape.reduce(1, *) }
  }
}
