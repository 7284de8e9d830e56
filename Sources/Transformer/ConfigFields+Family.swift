import StrictJSON

/// What a family's decoder has beyond what every `config.json` says, as its implementation fixes it.
struct DecoderFamily {
  let name: String
  /// Whether Q, K and V have biases although no field says so.
  var fixedProjectionBias = false
  /// Whether `attention_bias` gives Q, K, V and the output projection biases.
  var readsAttentionBias = false
  /// Whether `mlp_bias` is read.
  var readsMLPBias = false
  /// Whether each head of Q and K is normalised before RoPE.
  var queryKeyNorm = false
  /// Channels of a head where `head_dim` is absent; nil for `hidden_size / num_attention_heads`.
  var defaultHeadDim: Int?
  /// Whether a `sliding_window` counts only with `use_sliding_window`.
  var slidingWindowIsOptIn = false
  /// Whether `num_key_value_heads` may be absent and is then `num_attention_heads`.
  var defaultsToMultiHead = false

  static let all = [
    DecoderFamily(name: "llama", readsAttentionBias: true, readsMLPBias: true, defaultsToMultiHead: true),
    DecoderFamily(name: "mistral"),
    DecoderFamily(name: "qwen2", fixedProjectionBias: true, slidingWindowIsOptIn: true),
    DecoderFamily(
      name: "qwen3", readsAttentionBias: true, queryKeyNorm: true, defaultHeadDim: 128,
      slidingWindowIsOptIn: true),
  ]
}

extension ConfigFields {
  /// The family of `model_type`.
  func family() throws(ModelError) -> DecoderFamily {
    let name = try string("model_type")
    guard let family = DecoderFamily.all.first(where: { $0.name == name }) else {
      let known = DecoderFamily.all.map(\.name).joined(separator: ", ")
      throw failure(.unsupported, "model_type", "\"\(name)\" is not supported; supported: \(known)")
    }
    return family
  }

  /// Refuses everything that changes a decoder's arithmetic and is not implemented, by name and value.
  func refuseUnsupported(_ family: DecoderFamily) throws(ModelError) {
    try refuse("hidden_act", unless: [.string("silu"), .string("swish")])
    for field in ["use_qk_norm", "qk_layernorm", "use_bias", "rope_interleaved"] {
      try refuse(field, unless: [.boolean(false)])
    }
    if !family.readsMLPBias { try refuse("mlp_bias", unless: [.boolean(false)]) }
    if !family.readsAttentionBias, !family.fixedProjectionBias {
      try refuse("attention_bias", unless: [.boolean(false)])
    }
    for field in [
      "partial_rotary_factor", "embedding_multiplier", "residual_multiplier", "logits_scaling", "logit_scale",
      "attention_multiplier",
    ] {
      try refuse(field, unless: [.integer(1), .number(1)])
    }
    for field in [
      "query_pre_attn_scalar", "attn_logit_softcapping", "final_logit_softcapping", "quantization_config",
      "attention_chunk_size",
    ] {
      try refuse(field, unless: [])
    }
    try refuse("no_rope_layers", unless: [.array([])])
    for field in ["num_local_experts", "num_experts", "n_routed_experts"] {
      try refuse(field, unless: [.integer(0)])
    }
    if try boolean("use_sliding_window", default: !family.slidingWindowIsOptIn) {
      try refuse("sliding_window", unless: [])
      try refuse("use_sliding_window", unless: [])
    }
    if case .array(let types) = self["layer_types"],
      let other = types.first(where: { $0 != .string("full_attention") })
    {
      throw failure(.unsupported, "layer_types", "\(other) is not supported; only \"full_attention\" is")
    }
  }
}
