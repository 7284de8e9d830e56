/// The shape of a Llama-family decoder: what the forward pass, the weights and a session need to know of `config.json`.
///
/// A value that exists is one that the forward pass can run: reading refuses everything else by the field's name.
public struct ModelConfiguration: Sendable, Hashable {
  /// `model_type`.
  public let family: String
  /// Width of the residual stream.
  public let hiddenSize: Int
  /// Width of the gated MLP.
  public let intermediateSize: Int
  public let layers: Int
  public let queryHeads: Int
  /// Heads of K and V; divides `queryHeads`.
  public let kvHeads: Int
  /// Channels of a head; even. `queryHeads * headDim` need not be `hiddenSize`.
  public let headDim: Int
  public let vocabularySize: Int
  /// Epsilon of RMSNorm.
  public let normEpsilon: Double
  public let rope: RotaryParameters
  /// Whether the projections to Q, K and V have biases.
  public let projectionBias: Bool
  /// Whether the attention's output projection has a bias.
  public let outputBias: Bool
  /// Whether the MLP's three matrices have biases.
  public let mlpBias: Bool
  /// Whether each head of Q and K goes through an RMSNorm of its own before RoPE.
  public let queryKeyNorm: Bool
  /// Whether the head is the embedding's matrix.
  public let tiedHead: Bool
  /// The longest context that the model was trained for. Not a limit of the forward pass.
  public let maximumPositions: Int?
  /// Token ids that end a text, those of `generation_config.json` included; empty when the model has none.
  public internal(set) var endTokens: [UInt32]

  /// Bytes of K and V per token and session when everything is kept.
  ///
  /// - Parameter elementBytes: bytes of an element: 4 for f32, 2 for bf16 and f16.
  public func keyValueBytesPerToken(elementBytes: Int) -> Int {
    2 * layers * kvHeads * headDim * elementBytes
  }
}
