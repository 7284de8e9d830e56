import Foundation

extension ModelConfiguration {
  /// Longest `config.json` that is read.
  static let maximumConfigBytes = 1 << 20

  /// Reads `config.json` of a Hugging Face model folder, in both spellings of the rotary settings.
  ///
  /// - Throws: `io`, `malformed`, or `unsupported` with the field's name and value when the model needs what is not there.
  public init(folder: String) throws(ModelError) {
    let path = folder + "/config.json"
    guard let data = FileManager.default.contents(atPath: path) else {
      throw ModelError(.io, "cannot be read", path: path)
    }
    try self.init(json: data, path: path)
  }

  /// Reads the bytes of a `config.json`.
  ///
  /// - Parameter path: what errors call the file.
  public init(json data: Data, path: String = "config.json") throws(ModelError) {
    guard data.count <= Self.maximumConfigBytes else {
      throw ModelError(
        .malformed, "\(data.count) bytes; at most \(Self.maximumConfigBytes) are read", path: path)
    }
    let fields = try ConfigFields(data, path: path)
    try fields.refuseUnsupported()

    family = try fields.string("model_type")
    hiddenSize = try fields.integer("hidden_size", in: 1...1 << 17)
    intermediateSize = try fields.integer("intermediate_size", in: 1...1 << 20)
    layers = try fields.integer("num_hidden_layers", in: 1...1024)
    queryHeads = try fields.integer("num_attention_heads", in: 1...4096)
    kvHeads = try fields.integer("num_key_value_heads", in: 1...1024, default: queryHeads)
    guard queryHeads % kvHeads == 0 else {
      throw fields.failure(
        .malformed, "num_key_value_heads", "\(kvHeads) does not divide num_attention_heads, \(queryHeads)")
    }
    if fields.has("head_dim") {
      headDim = try fields.integer("head_dim", in: 1...1024)
    } else {
      guard hiddenSize % queryHeads == 0 else {
        throw fields.failure(
          .malformed, "head_dim", "absent, and num_attention_heads does not divide hidden_size, \(hiddenSize)"
        )
      }
      headDim = hiddenSize / queryHeads
    }
    guard headDim % 2 == 0, headDim <= 1024 else {
      throw fields.failure(.unsupported, "head_dim", "\(headDim): only even numbers up to 1024 are supported")
    }
    vocabularySize = try fields.integer("vocab_size", in: 1...1 << 24)
    normEpsilon = try fields.number("rms_norm_eps", default: 1e-6)
    guard normEpsilon >= 0, normEpsilon < 1 else {
      throw fields.failure(.malformed, "rms_norm_eps", "\(normEpsilon) is outside of 0..<1")
    }
    rope = try fields.rotaryParameters()
    tiedHead = try fields.boolean("tie_word_embeddings", default: false)
    maximumPositions =
      fields.has("max_position_embeddings")
      ? try fields.integer("max_position_embeddings", in: 1...1 << 40) : nil
    endTokens = try fields.tokens("eos_token_id", vocabularySize: vocabularySize)
  }
}

/// The fields of `config.json`, read with their names in every error.
struct ConfigFields {
  private let members: [String: JSONValue]
  private let path: String
  /// Where in the file the members are, for errors: empty, or the enclosing field and a dot.
  private let prefix: String

  init(_ data: Data, path: String) throws(ModelError) {
    do {
      members = try JSONDecoder().decode([String: JSONValue].self, from: data)
    } catch {
      throw ModelError(.malformed, "not a JSON object", path: path)
    }
    self.path = path
    prefix = ""
  }

  private init(_ members: [String: JSONValue], path: String, prefix: String) {
    self.members = members
    self.path = path
    self.prefix = prefix
  }

  func failure(_ code: ModelError.Code, _ field: String, _ message: String) -> ModelError {
    ModelError(code, message, path: path, name: prefix + field)
  }

  subscript(field: String) -> JSONValue { members[field] ?? .null }

  /// Whether the field is there and not null.
  func has(_ field: String) -> Bool { self[field] != .null }

  func string(_ field: String) throws(ModelError) -> String {
    guard case .string(let value) = self[field] else {
      throw failure(.malformed, field, "\(self[field]) is not a string")
    }
    return value
  }

  func integer(_ field: String, in range: ClosedRange<Int>, default absent: Int? = nil) throws(ModelError)
    -> Int
  {
    if let absent, !has(field) { return absent }
    guard case .integer(let value) = self[field], range.contains(value) else {
      throw failure(
        .malformed, field, "\(self[field]) is not an integer in \(range.lowerBound)...\(range.upperBound)")
    }
    return value
  }

  func number(_ field: String, default absent: Double? = nil) throws(ModelError) -> Double {
    if let absent, !has(field) { return absent }
    guard let value = self[field].double, value.isFinite else {
      throw failure(.malformed, field, "\(self[field]) is not a number")
    }
    return value
  }

  func boolean(_ field: String, default absent: Bool) throws(ModelError) -> Bool {
    guard has(field) else { return absent }
    guard case .boolean(let value) = self[field] else {
      throw failure(.malformed, field, "\(self[field]) is not a boolean")
    }
    return value
  }

  /// One token id, several, or none.
  func tokens(_ field: String, vocabularySize: Int) throws(ModelError) -> [UInt32] {
    let values: [JSONValue] =
      switch self[field] {
      case .null: []
      case .array(let several): several
      case let one: [one]
      }
    var result: [UInt32] = []
    for value in values {
      guard case .integer(let id) = value, (0..<vocabularySize).contains(id) else {
        throw failure(.malformed, field, "\(value) is not a token id below vocab_size, \(vocabularySize)")
      }
      result.append(UInt32(id))
    }
    return result
  }

  /// The older `rope_theta` with `rope_scaling`, or the newer `rope_parameters`.
  func rotaryParameters() throws(ModelError) -> RotaryParameters {
    let field = has("rope_parameters") ? "rope_parameters" : "rope_scaling"
    if has("rope_parameters"), has("rope_scaling") {
      throw failure(.unsupported, "rope_scaling", "stands beside rope_parameters; one of the two is expected")
    }
    var theta = has("rope_theta") ? try number("rope_theta") : nil
    if has(field) {
      guard case .object(let inner) = self[field] else {
        throw failure(.malformed, field, "\(self[field]) is not an object")
      }
      let scaling = ConfigFields(inner, path: path, prefix: field + ".")
      let typeField = scaling.has("rope_type") ? "rope_type" : "type"
      if scaling.has(typeField), try scaling.string(typeField) != "default" {
        throw scaling.failure(
          .unsupported, typeField, "\(scaling[typeField]) is not supported, only \"default\"")
      }
      if inner.values.contains(where: { if case .object = $0 { true } else { false } }) {
        throw failure(.unsupported, field, "\(self[field]): settings per layer type are not supported")
      }
      try scaling.refuse("partial_rotary_factor", unless: [.integer(1), .number(1)])
      if scaling.has("rope_theta") {
        let value = try scaling.number("rope_theta")
        if let outer = theta, outer != value {
          throw scaling.failure(.malformed, "rope_theta", "\(value) contradicts rope_theta, \(outer)")
        }
        theta = value
      }
    }
    let value = theta ?? 10_000
    guard value > 0 else { throw failure(.malformed, "rope_theta", "\(value) is not positive") }
    return RotaryParameters(theta: value)
  }

  /// Refuses a field that is there with another value than these.
  func refuse(_ field: String, unless accepted: [JSONValue]) throws(ModelError) {
    guard has(field), !accepted.contains(self[field]) else { return }
    let only = accepted.first.map { "; only \($0) is" } ?? ""
    throw failure(.unsupported, field, "\(self[field]) is not supported\(only)")
  }
}

extension ConfigFields {
  /// Families whose decoder is the one implemented here.
  static let families = ["llama", "mistral"]

  /// Everything that changes a decoder's arithmetic and is not implemented, by name and value.
  func refuseUnsupported() throws(ModelError) {
    let family = try string("model_type")
    guard Self.families.contains(family) else {
      throw failure(
        .unsupported, "model_type",
        "\"\(family)\" is not supported; supported: \(Self.families.joined(separator: ", "))")
    }
    try refuse("hidden_act", unless: [.string("silu")])
    for field in ["attention_bias", "mlp_bias", "use_qk_norm", "qk_layernorm"] {
      try refuse(field, unless: [.boolean(false)])
    }
    for field in [
      "partial_rotary_factor", "embedding_multiplier", "residual_multiplier", "logits_scaling", "logit_scale",
    ] {
      try refuse(field, unless: [.integer(1), .number(1)])
    }
    for field in [
      "attention_multiplier", "query_pre_attn_scalar", "attn_logit_softcapping", "final_logit_softcapping",
      "num_local_experts", "num_experts", "n_routed_experts", "quantization_config", "attention_chunk_size",
      "no_rope_layers",
    ] {
      try refuse(field, unless: [])
    }
    if self["use_sliding_window"] != .boolean(false) {
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
