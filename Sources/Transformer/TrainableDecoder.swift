import Foundation
import Safetensors

/// A Llama-family decoder whose weights change: f32 master weights in memory, their gradients beside them, a forward pass with
/// the bits of ``DecoderModel``'s and its backward pass. One thread at a time uses it.
///
/// One optimiser step over a document, cut into chunks, whose attention is a ``TrainingAttention``:
///
///     decoder.gradients.setToZero()
///     for chunk in chunks { _ = try decoder.forward([chunk.withoutTargets]) }        // K and V go to the attention
///     for chunk in chunks.reversed() {
///       try decoder.forward([chunk], saving: &saved)                                 // the same again, kept this time
///       loss += try decoder.backward([chunk], saved, scale: 1 / targetsOfTheStep)
///     }
///     // the optimiser reads decoder.gradients and changes decoder.weights
///     try decoder.weightsChanged()
///
/// Gradients add up over chunks, documents and calls until they are set to zero. Only chunks after the last target may be left
/// out on the way back. Memory does not grow with the document's length.
public final class TrainableDecoder {
  public let configuration: ModelConfiguration
  /// Every parameter by its Hugging Face name, f32. After changing any, call ``weightsChanged()``.
  public let weights: ParameterBuffer
  /// The gradient of each parameter; that of a tied matrix is the sum of the embedding's and the head's.
  public let gradients: ParameterBuffer
  /// The arithmetic of the matmuls and the kernel that does it, for people.
  public var computeSummary: String { backend.summary }

  let backend: MatmulBackend
  let embedding: TrainableEmbedding
  let layers: [TrainableLayer]
  let finalNorm: TrainableNorm
  let head: TiledCrossEntropy
  let rotary: RotaryEmbedding
  let source: ModelSource

  // Memory that is kept from call to call.
  var forwardScratch: ForwardScratch
  var backwardScratch: BackwardScratch
  /// What a forward pass that keeps nothing goes through.
  var passing: SavedActivations
  var lastAngles: (chunks: [Range<Int>], table: RotaryEmbedding.Table) = ([], RotaryEmbedding.Table())

  /// Reads a Hugging Face folder: `config.json` and one or several safetensors files of f32, bf16 or f16.
  ///
  /// - Parameters:
  ///   - initial: whether the folder's weights are taken, or random ones drawn.
  ///   - compute: arithmetic of the matmuls, of both passes.
  ///   - frequencies: as for ``DecoderModel``.
  ///   - vocabularyTile: tokens of the vocabulary whose logits are computed together, at least 1.
  ///   - rope: rotary settings that take the place of the model's own.
  /// - Throws: `ModelError` naming the file and the field or tensor.
  public init(
    folder: String, weights initial: InitialWeights = .saved, compute: Compute = .float32,
    frequencies: FrequencyRounding = .exact, vocabularyTile: Int = 4096, rope: RotaryOverride? = nil
  ) throws(ModelError) {
    guard vocabularyTile > 0 else {
      throw ModelError(.invalidArgument, "\(vocabularyTile) is no width of a tile", name: "vocabularyTile")
    }
    source = try ModelSource(folder: folder, weights: initial, rope: rope)
    let configuration = source.configuration
    let weights = ParameterBuffer(ParameterLayout(configuration))
    switch initial {
    case .random(let seed): weights.draw(configuration, seed: seed)
    case .saved:
      for tensor in weights.layout.tensors {
        try source.tensor(tensor.name)?.copyFloats(into: weights.writable(tensor.range))
      }
    }
    let gradients = ParameterBuffer(weights.layout)
    let parts = TrainableParts(
      backend: try MatmulBackend(compute), weights: weights, gradients: gradients,
      epsilon: Float(configuration.normEpsilon))
    self.configuration = configuration
    self.weights = weights
    self.gradients = gradients
    backend = parts.backend
    embedding = TrainableEmbedding(
      weights: weights, gradients: gradients, matrix: parts.tensor(DecoderTensors.embedding))
    layers = (0..<configuration.layers).map { TrainableLayer(parts, configuration, $0) }
    finalNorm = parts.norm(DecoderTensors.finalNorm)
    let matrix = parts.tensor(configuration.tiedHead ? DecoderTensors.embedding : DecoderTensors.head)
    head = TiledCrossEntropy(
      backend, weights: weights, gradients: gradients, matrix: matrix.range,
      vocabularySize: configuration.vocabularySize, width: configuration.hiddenSize, tile: vocabularyTile)
    rotary = RotaryEmbedding(configuration.rope, headDim: configuration.headDim, rounding: frequencies)
    forwardScratch = ForwardScratch(configuration, rows: 0)
    backwardScratch = BackwardScratch(configuration, rows: 0)
    passing = SavedActivations(configuration, keepsLayers: false)
  }

  /// Brings everything that was derived from the weights up to date. To be called when they have changed and before the next
  /// pass; within a document's forward and backward passes they must not change.
  public func weightsChanged() throws(ModelError) {
    for layer in layers { try layer.weightsChanged() }
    finalNorm.weightsChanged()
    try head.weightsChanged()
  }
}

/// A run of tokens of one document, on its way through the decoder in training.
public struct TrainingChunk<Attention: TrainingAttention> {
  /// Ids; not empty.
  public let tokens: [UInt32]
  /// What each token is to predict, `[tokens]`: the next token, also where that one belongs to the next chunk; nil for none.
  public let targets: [UInt32?]
  /// Position of the first token, for RoPE and the attention.
  public let startPosition: Int
  /// Belongs to the document; stands once in a batch.
  public let attention: Attention

  /// - Parameter targets: as many as tokens.
  public init(
    _ tokens: some Collection<UInt32>, targets: some Collection<UInt32?>, startPosition: Int,
    attention: Attention
  ) {
    self.tokens = Array(tokens)
    self.targets = Array(targets)
    self.startPosition = startPosition
    self.attention = attention
  }

  /// The same chunk predicting nothing.
  public var withoutTargets: TrainingChunk {
    TrainingChunk(
      tokens, targets: [UInt32?](repeating: nil, count: tokens.count), startPosition: startPosition,
      attention: attention)
  }
}
