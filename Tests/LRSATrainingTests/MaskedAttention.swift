import Foundation
import LRSATraining
import LagKV
import Transformer

/// LRSA attention of one document and its transpose, straight from the definition: all rows in memory, plain loops, sums in f64.
/// It shares nothing with the product but the score of a partition, which has goldens of its own. It traps calls out of order.
///
/// The query at `t` of partition `c` sees, causally, the sinks, partitions `c − 1` and `c` whole, and the kept rows of the others.
class MaskedAttention: DocumentAttention {
  /// What can go wrong with it; each gives other gradients than one pass over the whole document does.
  enum Mistake {
    /// Queries see the window as it stood when their call began, not as it is for them.
    case windowOfTheCall
    /// What queries send to earlier calls' keys and values of the window is lost.
    case noWindowGradients
    /// A call's own keys and values are not rounded.
    case ownRowsUnrounded
    /// Calls may be left out on the way back.
    case skippedCalls
  }

  enum Failure: Error { case recomputeMismatch, badOrder }

  private let configuration: ModelConfiguration
  private let retention: RetentionParameters
  private let type: ElementType
  private let mistake: Mistake?
  private var layers: [Layer]
  /// Of each layer and KV head, ascending: the chosen positions, or the ones to use in place of what would be chosen.
  private(set) var chosen: [[Int]]
  private let isReplaying: Bool
  /// The layer and end that the next backward call has, after the first.
  private var next: (layer: Int, end: Int)?

  struct Layer {
    /// `[tokens, kvHeads, headDim]`, as given.
    var exact: (keys: [Float], values: [Float]) = ([], [])
    /// The same, rounded.
    var rounded: (keys: [Float], values: [Float]) = ([], [])
    /// What later queries have sent to them.
    var dKeys: [Double] = []
    var dValues: [Double] = []
    /// Partitions that have been scored.
    var scored = 0
  }

  /// - Parameters:
  ///   - type: f32, or bf16, to which keys and values are rounded before anything else.
  ///   - replaying: of each layer and KV head the positions to keep, ascending, in place of a selection.
  init(
    _ configuration: ModelConfiguration, _ retention: RetentionParameters, type: ElementType = .float32,
    mistake: Mistake? = nil, replaying: [[Int]]? = nil
  ) {
    precondition(type != .float16)
    self.configuration = configuration
    self.retention = retention
    self.type = type
    self.mistake = mistake
    layers = Array(repeating: Layer(), count: configuration.layers)
    chosen = replaying ?? Array(repeating: [], count: configuration.layers * configuration.kvHeads)
    isReplaying = replaying != nil
  }

  private var geometry: TokenGeometry { retention.geometry(layer: 0) }
  private var rowWidth: Int { configuration.kvHeads * configuration.headDim }
  var tokens: Int { layers[0].exact.keys.count / rowWidth }
  /// Every row so far, of all layers.
  var rows: [[Float]] { layers.flatMap { [$0.exact.keys, $0.exact.values] } }

  func commit(_ tokens: [UInt32]) {}
  func endForward() {}
  func close() {}
  func chosenPositions() -> [[UInt32]]? { chosen.map { $0.map(UInt32.init) } }

  /// The positions that a query sees, ascending.
  ///
  /// - Parameter from: where its call begins.
  func visible(layer: Int, head: Int, to query: Int, from: Int) -> [Int] {
    let own = geometry.partition(ofPosition: query) ?? 0
    let whole = mistake == .windowOfTheCall ? geometry.scoredPartitions(from) : max(0, own - 1)
    let window = geometry.sinks + whole * geometry.lag
    return Array(0..<min(geometry.sinks, query + 1))
      + chosen[layer * configuration.kvHeads + head].prefix { $0 < window }
      + Array(min(window, query + 1)..<query + 1)
  }

  // MARK: Forward

  func step(
    layer: Int, queries: UnsafeBufferPointer<Float>, keys: UnsafeBufferPointer<Float>,
    values: UnsafeBufferPointer<Float>, tokens: Int, into out: UnsafeMutableBufferPointer<Float>
  ) throws {
    var sums = [Float](repeating: 0, count: tokens * configuration.queryHeads)
    try sums.withUnsafeMutableBufferPointer {
      try step(
        layer: layer, from: layers[layer].exact.keys.count / rowWidth, queries: queries, keys: keys,
        values: values, tokens: tokens, into: out, logSumExp: $0)
    }
  }

  func step(
    layer: Int, from: Int, queries: UnsafeBufferPointer<Float>, keys: UnsafeBufferPointer<Float>,
    values: UnsafeBufferPointer<Float>, tokens: Int, into out: UnsafeMutableBufferPointer<Float>,
    logSumExp: UnsafeMutableBufferPointer<Float>
  ) throws {
    try take(layer, from, keys, values, tokens)
    for head in 0..<configuration.queryHeads {
      for token in 0..<tokens {
        let query = Query(self, layer, head, token, from: from)
        let scores = query.rows.map { query.score(queries, row: $0) }
        let peak = scores.max() ?? 0
        let weights = scores.map { exp($0 - peak) }
        let total = weights.reduce(0, +)
        logSumExp[token * configuration.queryHeads + head] = Float(peak + log(total))
        for channel in 0..<configuration.headDim {
          var sum = 0.0
          for (row, weight) in zip(query.rows, weights) {
            sum += weight * Double(query.values(row)[query.base(row) + channel])
          }
          out[query.start + channel] = Float(sum / total)
        }
      }
    }
  }

  /// Appends a chunk's rows, or compares them with those of the first time.
  private func take(
    _ layer: Int, _ from: Int, _ keys: UnsafeBufferPointer<Float>, _ values: UnsafeBufferPointer<Float>,
    _ tokens: Int
  ) throws {
    let own = from * rowWidth..<(from + tokens) * rowWidth
    guard own.lowerBound == layers[layer].exact.keys.count else {
      guard own.upperBound <= layers[layer].exact.keys.count,
        layers[layer].exact.keys[own].elementsEqual(keys),
        layers[layer].exact.values[own].elementsEqual(values)
      else { throw Failure.recomputeMismatch }
      return
    }
    layers[layer].exact.keys += keys
    layers[layer].exact.values += values
    layers[layer].rounded.keys += keys.map(rounded)
    layers[layer].rounded.values += values.map(rounded)
    layers[layer].dKeys += [Double](repeating: 0, count: own.count)
    layers[layer].dValues += [Double](repeating: 0, count: own.count)
    if isReplaying { return }
    for partition in layers[layer].scored..<geometry.scoredPartitions(from + tokens) {
      select(layer, partition)
      layers[layer].scored += 1
    }
  }

  private func rounded(_ value: Float) -> Float {
    guard type == .bfloat16 else { return value }
    return Float(bitPattern: (value.bitPattern &+ 0x7FFF &+ (value.bitPattern >> 16 & 1)) & 0xFFFF_0000)
  }

  private func select(_ layer: Int, _ partition: Int) {
    let policy = retention.makePolicy()
    for head in 0..<configuration.kvHeads {
      func rows(_ values: [Float], _ positions: Range<Int>) -> [Float] {
        positions.flatMap { position -> ArraySlice<Float> in
          let start = position * rowWidth + head * configuration.headDim
          return values[start..<start + configuration.headDim]
        }
      }
      let own = geometry.positions(ofPartition: partition)
      let after = geometry.positions(ofPartition: partition + 1)
      let (keys, values) = (layers[layer].rounded.keys, layers[layer].rounded.values)
      let kept = rows(keys, own).withUnsafeBytes { ownKeys in
        rows(values, own).withUnsafeBytes { ownValues in
          rows(keys, after).withUnsafeBytes { nextKeys in
            rows(values, after).withUnsafeBytes { nextValues in
              guard let ownKeys = ownKeys.baseAddress, let ownValues = ownValues.baseAddress,
                let nextKeys = nextKeys.baseAddress, let nextValues = nextValues.baseAddress
              else { return [UInt32]() }
              return policy.select(
                keep: geometry.kept,
                partition: [RowBlock(keys: ownKeys, values: ownValues, count: own.count)],
                reference: [RowBlock(keys: nextKeys, values: nextValues, count: after.count)],
                at: PartitionPlace(
                  layer: layer, head: head, partition: partition, lag: geometry.lag,
                  headDim: configuration.headDim, elementType: .float32))
            }
          }
        }
      }
      chosen[layer * configuration.kvHeads + head] += kept.map { own.lowerBound + Int($0) }
    }
  }

  // MARK: Backward

  func stepBackward(
    layer: Int, from: Int, queries: UnsafeBufferPointer<Float>, out: UnsafeBufferPointer<Float>,
    logSumExp: UnsafeBufferPointer<Float>, dOut: UnsafeBufferPointer<Float>, tokens: Int,
    dQueries: UnsafeMutableBufferPointer<Float>, dKeys: UnsafeMutableBufferPointer<Float>,
    dValues: UnsafeMutableBufferPointer<Float>
  ) throws {
    let expected = next ?? (layer: layers.count - 1, end: layers[layer].exact.keys.count / rowWidth)
    guard layer == expected.layer, from + tokens == expected.end || mistake == .skippedCalls else {
      throw Failure.badOrder
    }
    next = layer > 0 ? (layer - 1, from + tokens) : (layers.count - 1, from)
    let headDim = configuration.headDim
    var (sentKeys, sentValues) = (layers[layer].dKeys, layers[layer].dValues)
    for head in 0..<configuration.queryHeads {
      for token in 0..<tokens {
        let query = Query(self, layer, head, token, from: from)
        let sum = Double(logSumExp[token * configuration.queryHeads + head])
        var delta = 0.0
        for at in query.start..<query.start + headDim { delta += Double(dOut[at]) * Double(out[at]) }
        var dQuery = [Double](repeating: 0, count: headDim)
        for row in query.rows {
          let base = query.base(row)
          let (rowKeys, rowValues) = (query.keys(row), query.values(row))
          let weight = exp(query.score(queries, row: row) - sum)
          var dWeight = 0.0
          for channel in 0..<headDim {
            dWeight += Double(dOut[query.start + channel]) * Double(rowValues[base + channel])
          }
          let dScore = weight * (dWeight - delta) * query.scale
          for channel in 0..<headDim { dQuery[channel] += dScore * Double(rowKeys[base + channel]) }
          if mistake == .noWindowGradients, row < from, row >= query.window { continue }
          for channel in 0..<headDim {
            sentKeys[base + channel] += dScore * Double(queries[query.start + channel])
            sentValues[base + channel] += weight * Double(dOut[query.start + channel])
          }
        }
        for channel in 0..<headDim { dQueries[query.start + channel] = Float(dQuery[channel]) }
      }
    }
    for index in 0..<tokens * rowWidth {
      dKeys[index] = Float(sentKeys[from * rowWidth + index])
      dValues[index] = Float(sentValues[from * rowWidth + index])
    }
    (layers[layer].dKeys, layers[layer].dValues) = (sentKeys, sentValues)
  }

  /// One query of a call, and the rows that it sees.
  private struct Query {
    let rows: [Int]
    /// Where its channels begin.
    let start: Int
    let scale: Double
    /// Where its window begins.
    let window: Int
    private let exact: (keys: [Float], values: [Float])
    private let rounded: (keys: [Float], values: [Float])
    private let from: Int
    private let rowWidth: Int
    private let offset: Int
    private let headDim: Int
    private let ownRowsUnrounded: Bool

    init(_ attention: MaskedAttention, _ layer: Int, _ head: Int, _ token: Int, from: Int) {
      let c = attention.configuration
      let kvHead = head / (c.queryHeads / c.kvHeads)
      rows = attention.visible(layer: layer, head: kvHead, to: from + token, from: from)
      start = (token * c.queryHeads + head) * c.headDim
      scale = 1 / Double(c.headDim).squareRoot()
      let geometry = attention.geometry
      let own = geometry.partition(ofPosition: from + token) ?? 0
      window = geometry.sinks + max(0, own - 1) * geometry.lag
      (exact, rounded) = (attention.layers[layer].exact, attention.layers[layer].rounded)
      self.from = from
      rowWidth = attention.rowWidth
      offset = kvHead * c.headDim
      headDim = c.headDim
      ownRowsUnrounded = attention.mistake == .ownRowsUnrounded
    }

    func base(_ row: Int) -> Int { row * rowWidth + offset }
    func keys(_ row: Int) -> [Float] {
      ownRowsUnrounded && row >= from ? exact.keys : rounded.keys
    }
    func values(_ row: Int) -> [Float] {
      ownRowsUnrounded && row >= from ? exact.values : rounded.values
    }

    func score(_ queries: UnsafeBufferPointer<Float>, row: Int) -> Double {
      let (keys, base) = (keys(row), base(row))
      var sum = 0.0
      for channel in 0..<headDim { sum += Double(queries[start + channel]) * Double(keys[base + channel]) }
      return sum * scale
    }
  }
}
