import Foundation

extension ModelConfiguration {
  /// Reads `config.json` of a Hugging Face model folder, in both spellings of the rotary settings.
  ///
  /// - Throws: `io`, `malformed`, or `unsupported` with the field's name and value when the model needs what is not there.
  public init(folder: String) throws(ModelError) {
    let path = folder + "/config.json"
    guard let data = FileManager.default.contents(atPath: path) else {
      throw ModelError(.io, "cannot be read", path: path)
    }
    try self.init(folder: folder, config: data)
  }

  /// The same with other bytes for the folder's `config.json`.
  init(folder: String, config: Data) throws(ModelError) {
    try self.init(json: config, path: folder + "/config.json")
    // What ends a generated text stands here in newer folders, and config.json may lack some of it.
    let generation = folder + "/generation_config.json"
    if let data = FileManager.default.contents(atPath: generation) {
      let fields = try ConfigFields(data, path: generation)
      let more = try fields.tokens("eos_token_id", vocabularySize: vocabularySize)
      endTokens += more.filter { !endTokens.contains($0) }
    }
  }

  /// Reads the bytes of a `config.json`.
  ///
  /// - Parameter path: what errors call the file.
  public init(json data: Data, path: String = "config.json") throws(ModelError) {
    let fields = try ConfigFields(data, path: path)
    let decoder = try fields.family()
    try fields.refuseUnsupported(decoder)

    family = decoder.name
    hiddenSize = try fields.integer("hidden_size", in: 1...1 << 17)
    intermediateSize = try fields.integer("intermediate_size", in: 1...1 << 20)
    layers = try fields.integer("num_hidden_layers", in: 1...1024)
    queryHeads = try fields.integer("num_attention_heads", in: 1...4096)
    kvHeads = try fields.integer(
      "num_key_value_heads", in: 1...1024, default: decoder.defaultsToMultiHead ? queryHeads : nil)
    guard queryHeads % kvHeads == 0 else {
      throw fields.failure(
        .malformed, "num_key_value_heads", "\(kvHeads) does not divide num_attention_heads, \(queryHeads)")
    }
    if fields.has("head_dim") {
      headDim = try fields.integer("head_dim", in: 1...1024)
    } else if let width = decoder.defaultHeadDim {
      headDim = width
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
    maximumPositions =
      fields.has("max_position_embeddings")
      ? try fields.integer("max_position_embeddings", in: 1...ConfigFields.maximumPositions) : nil
    rope = try fields.rotaryParameters(maximumPositions: maximumPositions)
    tiedHead = try fields.boolean("tie_word_embeddings", default: false)
    let attentionBias =
      decoder.readsAttentionBias ? try fields.boolean("attention_bias", default: false) : false
    projectionBias = decoder.fixedProjectionBias || attentionBias
    outputBias = attentionBias
    mlpBias = decoder.readsMLPBias ? try fields.boolean("mlp_bias", default: false) : false
    queryKeyNorm = decoder.queryKeyNorm
    endTokens = try fields.tokens("eos_token_id", vocabularySize: vocabularySize)
  }
}
