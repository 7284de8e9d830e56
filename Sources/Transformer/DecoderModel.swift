import Safetensors

/// A Llama-family decoder, loaded and ready to run. One thread at a time uses it.
public final class DecoderModel {
  public let configuration: ModelConfiguration
  /// The arithmetic of the matmuls and the kernel that does it, for people.
  public var computeSummary: String { backend.summary }

  let backend: MatmulBackend
  let embedding: Embedding
  let layers: [DecoderLayer]
  let finalNorm: RMSNorm
  let head: Linear
  let rotary: RotaryEmbedding
  private let file: SafetensorsFile

  /// Loads `config.json` and `model.safetensors` of a Hugging Face folder.
  ///
  /// The configuration and the header of the weights are checked before any weight is read.
  ///
  /// - Throws: `ModelError` naming the file and the field or tensor.
  public init(folder: String, compute: Compute = .float32) throws(ModelError) {
    let configuration = try ModelConfiguration(folder: folder)
    let checkpoint = try Checkpoint(folder: folder, configuration)
    let backend = try MatmulBackend(compute)
    let embedding = try checkpoint.tensor("model.embed_tokens.weight")

    var layers: [DecoderLayer] = []
    for layer in 0..<configuration.layers {
      layers.append(try DecoderLayer(checkpoint, layer, backend))
    }
    self.configuration = configuration
    self.backend = backend
    self.layers = layers
    self.embedding = Embedding(matrix: embedding, width: configuration.hiddenSize)
    finalNorm = try checkpoint.norm("model.norm.weight")
    head = try checkpoint.linear(configuration.tiedHead ? embedding.name : "lm_head.weight", backend)
    rotary = RotaryEmbedding(configuration.rope, headDim: configuration.headDim)
    file = checkpoint.file
  }

  /// 32 bytes that identify the model: its configuration and every byte of its weights. The arithmetic is not part of it.
  ///
  /// - Complexity: reads the whole checkpoint.
  public func fingerprint() throws(ModelError) -> [UInt8] {
    try Fingerprint.digest(configuration, file)
  }

  /// Number of weights, a tied matrix counted once.
  public var parameterCount: Int {
    let c = configuration
    let attention = (2 * c.queryHeads + 2 * c.kvHeads) * c.headDim * c.hiddenSize
    let layer = attention + 3 * c.hiddenSize * c.intermediateSize + 2 * c.hiddenSize
    return c.vocabularySize * c.hiddenSize * (c.tiedHead ? 1 : 2) + c.layers * layer + c.hiddenSize
  }
}

/// The weights of one layer: pre-norm attention, then a pre-norm gated MLP, each added to the residual stream.
struct DecoderLayer {
  let attentionNorm: RMSNorm
  let queries: Linear
  let keys: Linear
  let values: Linear
  let output: Linear
  let mlpNorm: RMSNorm
  let gate: Linear
  let up: Linear
  let down: Linear

  init(_ checkpoint: Checkpoint, _ layer: Int, _ backend: MatmulBackend) throws(ModelError) {
    let prefix = Checkpoint.layerPrefix(layer)
    attentionNorm = try checkpoint.norm(prefix + "input_layernorm.weight")
    queries = try checkpoint.linear(prefix + "self_attn.q_proj.weight", backend)
    keys = try checkpoint.linear(prefix + "self_attn.k_proj.weight", backend)
    values = try checkpoint.linear(prefix + "self_attn.v_proj.weight", backend)
    output = try checkpoint.linear(prefix + "self_attn.o_proj.weight", backend)
    mlpNorm = try checkpoint.norm(prefix + "post_attention_layernorm.weight")
    gate = try checkpoint.linear(prefix + "mlp.gate_proj.weight", backend)
    up = try checkpoint.linear(prefix + "mlp.up_proj.weight", backend)
    down = try checkpoint.linear(prefix + "mlp.down_proj.weight", backend)
  }
}
