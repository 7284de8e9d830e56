import Safetensors

/// A Llama-family decoder, opened and ready to run. One thread at a time uses it.
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
  let checkpoint: Checkpoint
  private let frequencies: FrequencyRounding

  /// Opens a Hugging Face folder: `config.json` and one or several safetensors files.
  ///
  /// The configuration and the headers of the weights are checked; matrices are read when they are first used.
  ///
  /// - Throws: `ModelError` naming the file and the field or tensor.
  public init(
    folder: String, compute: Compute = .float32, frequencies: FrequencyRounding = .exact
  ) throws(ModelError) {
    let configuration = try ModelConfiguration(folder: folder)
    let checkpoint = try Checkpoint(folder: folder, configuration)
    let backend = try MatmulBackend(compute)
    let embedding = try checkpoint.tensor(DecoderTensors.embedding)

    var layers: [DecoderLayer] = []
    for layer in 0..<configuration.layers {
      layers.append(try DecoderLayer(checkpoint, configuration, layer, backend))
    }
    self.configuration = configuration
    self.backend = backend
    self.layers = layers
    self.embedding = Embedding(matrix: embedding, width: configuration.hiddenSize)
    finalNorm = try checkpoint.norm(DecoderTensors.finalNorm)
    let head = configuration.tiedHead ? embedding : try checkpoint.tensor(DecoderTensors.head)
    self.head = Linear(backend, LinearWeights(head))
    rotary = RotaryEmbedding(configuration.rope, headDim: configuration.headDim, rounding: frequencies)
    self.checkpoint = checkpoint
    self.frequencies = frequencies
  }

  /// 32 bytes that identify the model: its configuration and every byte of its weights. The arithmetic of the matmuls is not
  /// part of it.
  ///
  /// - Complexity: reads the whole checkpoint.
  public func fingerprint() throws(ModelError) -> [UInt8] {
    try Fingerprint.digest(configuration, frequencies, checkpoint.files)
  }
}

/// The weights of one layer: pre-norm attention, then a pre-norm gated MLP, each added to the residual stream.
struct DecoderLayer {
  let attentionNorm: RMSNorm
  let queries: Linear
  let keys: Linear
  let values: Linear
  /// Of each head, `[headDim]`; nil in families without it.
  let queryNorm: RMSNorm?
  let keyNorm: RMSNorm?
  let output: Linear
  let mlpNorm: RMSNorm
  let gate: Linear
  let up: Linear
  let down: Linear

  init(
    _ checkpoint: Checkpoint, _ c: ModelConfiguration, _ layer: Int, _ backend: MatmulBackend
  ) throws(ModelError) {
    let prefix = DecoderTensors.layer(layer)
    attentionNorm = try checkpoint.norm(prefix + "input_layernorm.weight")
    queries = try checkpoint.linear(prefix + "self_attn.q_proj", bias: c.projectionBias, backend)
    keys = try checkpoint.linear(prefix + "self_attn.k_proj", bias: c.projectionBias, backend)
    values = try checkpoint.linear(prefix + "self_attn.v_proj", bias: c.projectionBias, backend)
    queryNorm = c.queryKeyNorm ? try checkpoint.norm(prefix + "self_attn.q_norm.weight") : nil
    keyNorm = c.queryKeyNorm ? try checkpoint.norm(prefix + "self_attn.k_norm.weight") : nil
    output = try checkpoint.linear(prefix + "self_attn.o_proj", bias: c.outputBias, backend)
    mlpNorm = try checkpoint.norm(prefix + "post_attention_layernorm.weight")
    gate = try checkpoint.linear(prefix + "mlp.gate_proj", bias: c.mlpBias, backend)
    up = try checkpoint.linear(prefix + "mlp.up_proj", bias: c.mlpBias, backend)
    down = try checkpoint.linear(prefix + "mlp.down_proj", bias: c.mlpBias, backend)
  }
}
