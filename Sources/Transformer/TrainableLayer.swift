/// The operators of one layer in training, as in ``DecoderLayer``.
struct TrainableLayer {
  let attentionNorm: TrainableNorm
  let queries: TrainableLinear
  let keys: TrainableLinear
  let values: TrainableLinear
  /// Of each head, `[headDim]`; nil in families without it.
  let queryNorm: TrainableNorm?
  let keyNorm: TrainableNorm?
  let output: TrainableLinear
  let mlpNorm: TrainableNorm
  let gate: TrainableLinear
  let up: TrainableLinear
  let down: TrainableLinear

  init(_ parts: TrainableParts, _ c: ModelConfiguration, _ layer: Int) {
    let prefix = DecoderTensors.layer(layer)
    attentionNorm = parts.norm(prefix + "input_layernorm.weight")
    queries = parts.linear(prefix + "self_attn.q_proj")
    keys = parts.linear(prefix + "self_attn.k_proj")
    values = parts.linear(prefix + "self_attn.v_proj")
    queryNorm = c.queryKeyNorm ? parts.norm(prefix + "self_attn.q_norm.weight") : nil
    keyNorm = c.queryKeyNorm ? parts.norm(prefix + "self_attn.k_norm.weight") : nil
    output = parts.linear(prefix + "self_attn.o_proj")
    mlpNorm = parts.norm(prefix + "post_attention_layernorm.weight")
    gate = parts.linear(prefix + "mlp.gate_proj")
    up = parts.linear(prefix + "mlp.up_proj")
    down = parts.linear(prefix + "mlp.down_proj")
  }

  func weightsChanged() throws(ModelError) {
    for norm in [attentionNorm, queryNorm, keyNorm, mlpNorm] { norm?.weightsChanged() }
    for linear in [queries, keys, values, output, gate, up, down] { try linear.weightsChanged() }
  }
}

/// Makes operators on a decoder's weights and gradients by the parameters' names.
struct TrainableParts {
  let backend: MatmulBackend
  let weights: ParameterBuffer
  let gradients: ParameterBuffer
  let epsilon: Float

  /// A parameter that the configuration says is there.
  func tensor(_ name: String) -> ParameterLayout.Tensor {
    guard let tensor = weights.layout[name] else { preconditionFailure("no parameter \(name)") }
    return tensor
  }

  func norm(_ name: String) -> TrainableNorm {
    TrainableNorm(weights: weights, gradients: gradients, range: tensor(name).range, epsilon: epsilon)
  }

  /// The linear layer of a `[outputs, inputs]` parameter, with a bias where there is one.
  ///
  /// - Parameter name: without `.weight`.
  func linear(_ name: String) -> TrainableLinear {
    let weight = tensor(name + ".weight")
    return TrainableLinear(
      backend, weights: weights, gradients: gradients, weight: weight.range,
      bias: weights.layout[name + ".bias"]?.range, outputs: weight.shape[0], inputs: weight.shape[1])
  }
}
