/// What the backward pass of one batch of chunks needs of its forward pass, in all layers. `rows` are the batch's tokens, chunk
/// after chunk.
///
/// Only one batch's activations live at a time: a document's chunks run forward keeping nothing, then each is computed again into
/// the same memory just before its backward pass. What a norm or SwiGLU makes of a saved value is computed once more instead of
/// being kept.
///
/// Per token ``bytesPerToken(_:)``, whatever the document's length.
public struct SavedActivations: ~Copyable {
  let configuration: ModelConfiguration
  /// Whether each layer has memory of its own; otherwise all layers share that of one.
  private let keepsLayers: Bool
  private var capacity = 0

  /// The batch: tokens, and each chunk's position and length.
  private(set) var tokens: [UInt32] = []
  private(set) var chunks: [Range<Int>] = []
  var rows: Int { tokens.count }
  /// Whether a forward pass has gone through all layers.
  var isComplete = false
  var table = RotaryEmbedding.Table()

  /// `[layers + 1, rows, hiddenSize]`: the residual stream before each layer, and after the last.
  private var hidden = FloatBuffer(count: 0)
  /// `[layers, rows, hiddenSize]`: the residual stream between attention and MLP.
  private var middle = FloatBuffer(count: 0)
  /// `[layers, rows, queryHeads, headDim]`: before the norm of heads; empty in families without it.
  private var plainQueries = FloatBuffer(count: 0)
  /// `[layers, rows, kvHeads, headDim]`: likewise.
  private var plainKeys = FloatBuffer(count: 0)
  /// `[layers, rows, queryHeads, headDim]`: after RoPE.
  private var queries = FloatBuffer(count: 0)
  /// `[layers, rows, queryHeads, headDim]`: the attention's output.
  private var attended = FloatBuffer(count: 0)
  /// `[layers, rows, queryHeads]`.
  private var logSumExp = FloatBuffer(count: 0)
  /// `[layers, rows, intermediateSize]`, before the activation.
  private var gate = FloatBuffer(count: 0)
  /// `[layers, rows, intermediateSize]`.
  private var up = FloatBuffer(count: 0)

  /// Takes memory when it is first used.
  public init(_ configuration: ModelConfiguration) {
    self.init(configuration, keepsLayers: true)
  }

  init(_ configuration: ModelConfiguration, keepsLayers: Bool) {
    self.configuration = configuration
    self.keepsLayers = keepsLayers
  }

  /// Bytes that are saved for each token.
  public static func bytesPerToken(_ c: ModelConfiguration) -> Int {
    let queryWidth = c.queryHeads * c.headDim
    let plain = c.queryKeyNorm ? queryWidth + c.kvHeads * c.headDim : 0
    let layer = 2 * c.hiddenSize + plain + 2 * queryWidth + c.queryHeads + 2 * c.intermediateSize
    return (c.layers * layer + c.hiddenSize) * MemoryLayout<Float>.size
  }

  /// Begins a batch; memory grows to what it takes and is kept.
  mutating func begin(tokens: [UInt32], chunks: [Range<Int>], table: RotaryEmbedding.Table) {
    self.tokens = tokens
    self.chunks = chunks
    self.table = table
    isComplete = false
    guard rows > capacity else { return }
    let c = configuration
    let perLayer = (keepsLayers ? c.layers : 1) * rows
    let queryWidth = c.queryHeads * c.headDim
    hidden = FloatBuffer(count: (keepsLayers ? c.layers + 1 : 2) * rows * c.hiddenSize)
    middle = FloatBuffer(count: perLayer * c.hiddenSize)
    plainQueries = FloatBuffer(count: c.queryKeyNorm ? perLayer * queryWidth : 0)
    plainKeys = FloatBuffer(count: c.queryKeyNorm ? perLayer * c.kvHeads * c.headDim : 0)
    queries = FloatBuffer(count: perLayer * queryWidth)
    attended = FloatBuffer(count: perLayer * queryWidth)
    logSumExp = FloatBuffer(count: perLayer * c.queryHeads)
    gate = FloatBuffer(count: perLayer * c.intermediateSize)
    up = FloatBuffer(count: perLayer * c.intermediateSize)
    capacity = rows
  }

  /// The residual stream before this layer, `[rows, hiddenSize]`; `layers` for what the last one leaves.
  func hidden(_ layer: Int) -> UnsafeMutableBufferPointer<Float> {
    let slot = keepsLayers ? layer : layer % 2
    let count = rows * configuration.hiddenSize
    return hidden.writable(slot * count..<(slot + 1) * count)
  }

  /// Views of one layer's activations, shaped as the buffers are, without `layers`.
  func layer(_ layer: Int) -> LayerActivations {
    let slot = keepsLayers ? layer : 0
    let c = configuration
    func part(_ buffer: borrowing FloatBuffer, _ width: Int) -> UnsafeMutableBufferPointer<Float> {
      buffer.writable(slot * rows * width..<(slot + 1) * rows * width)
    }
    let queryWidth = c.queryHeads * c.headDim
    return LayerActivations(
      middle: part(middle, c.hiddenSize),
      plainQueries: part(plainQueries, c.queryKeyNorm ? queryWidth : 0),
      plainKeys: part(plainKeys, c.queryKeyNorm ? c.kvHeads * c.headDim : 0),
      queries: part(queries, queryWidth), attended: part(attended, queryWidth),
      logSumExp: part(logSumExp, c.queryHeads), gate: part(gate, c.intermediateSize),
      up: part(up, c.intermediateSize))
  }
}

/// One layer's part of ``SavedActivations``: views that live no longer than the pass that asked for them.
struct LayerActivations {
  let middle: UnsafeMutableBufferPointer<Float>
  let plainQueries: UnsafeMutableBufferPointer<Float>
  let plainKeys: UnsafeMutableBufferPointer<Float>
  let queries: UnsafeMutableBufferPointer<Float>
  let attended: UnsafeMutableBufferPointer<Float>
  let logSumExp: UnsafeMutableBufferPointer<Float>
  let gate: UnsafeMutableBufferPointer<Float>
  let up: UnsafeMutableBufferPointer<Float>
}
