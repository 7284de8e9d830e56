import Foundation
import Testing
import Transformer

/// Dense attention in memory against the plain oracle in f64, over random shapes and cuts.
@Suite struct CausalTrainingAttentionTests {
  struct Shape: CustomTestStringConvertible {
    let queryHeads: Int
    let kvHeads: Int
    let headDim: Int
    let tokens: Int
    var testDescription: String { "\(queryHeads) over \(kvHeads) heads of \(headDim), \(tokens) tokens" }

    var configuration: ModelConfiguration {
      get throws {
        try ModelConfiguration(
          json: Data(
            """
            {"model_type": "llama", "hidden_act": "silu", "rms_norm_eps": 1e-5, "num_hidden_layers": 2,
             "vocab_size": 37, "hidden_size": 16, "intermediate_size": 16, "head_dim": \(headDim),
             "num_attention_heads": \(queryHeads), "num_key_value_heads": \(kvHeads)}
            """.utf8))
      }
    }
  }

  static let shapes = [
    Shape(queryHeads: 4, kvHeads: 2, headDim: 16, tokens: 2),
    Shape(queryHeads: 4, kvHeads: 2, headDim: 64, tokens: 150),
    Shape(queryHeads: 3, kvHeads: 3, headDim: 6, tokens: 67),
    Shape(queryHeads: 6, kvHeads: 1, headDim: 10, tokens: 530),
    Shape(queryHeads: 2, kvHeads: 1, headDim: 34, tokens: 300),
    Shape(queryHeads: 8, kvHeads: 4, headDim: 8, tokens: 129),
  ]

  /// Everything that goes in and comes out of one document, `[layers][…]`.
  private struct Document {
    let shape: Shape
    var queries: [[Float]] = []
    var keys: [[Float]] = []
    var values: [[Float]] = []
    var dOut: [[Float]] = []

    init(_ shape: Shape, seed: UInt64) {
      self.shape = shape
      var noise = Noise(seed)
      for _ in 0..<2 {
        queries.append(noise.floats(shape.tokens * shape.queryHeads * shape.headDim).map { $0 * 3 })
        keys.append(noise.floats(shape.tokens * shape.kvHeads * shape.headDim))
        values.append(noise.floats(shape.tokens * shape.kvHeads * shape.headDim))
        dOut.append(noise.floats(queries[0].count))
      }
    }

    func rounded() -> Document {
      var copy = self
      for layer in 0..<2 {
        copy.queries[layer] = queries[layer].map(BFloat16.round)
        copy.keys[layer] = keys[layer].map(BFloat16.round)
        copy.values[layer] = values[layer].map(BFloat16.round)
        copy.dOut[layer] = dOut[layer].map(BFloat16.round)
      }
      return copy
    }
  }

  private struct Results: Equatable {
    var out: [[Float]] = [[], []]
    var logSumExp: [[Float]] = [[], []]
    var dQueries: [[Float]] = [[], []]
    var dKeys: [[Float]] = [[], []]
    var dValues: [[Float]] = [[], []]

    var tensors: [(name: String, layers: [[Float]])] {
      [
        ("out", out), ("logSumExp", logSumExp), ("dQueries", dQueries), ("dKeys", dKeys),
        ("dValues", dValues),
      ]
    }
  }

  /// One call forward. Returns out and log-sum-exp.
  private func step(
    _ attention: some TrainingAttention, _ document: Document, _ layer: Int, _ chunk: Range<Int>
  ) throws -> (out: [Float], logSumExp: [Float]) {
    let (queryWidth, keyWidth) = (
      document.shape.queryHeads * document.shape.headDim, document.shape.kvHeads * document.shape.headDim
    )
    var out = [Float](repeating: .nan, count: chunk.count * queryWidth)
    var logSumExp = [Float](repeating: .nan, count: chunk.count * document.shape.queryHeads)
    let queries = rows(document.queries[layer], chunk, queryWidth)
    let keys = rows(document.keys[layer], chunk, keyWidth)
    let values = rows(document.values[layer], chunk, keyWidth)
    try queries.withUnsafeBufferPointer { queries in
      try keys.withUnsafeBufferPointer { keys in
        try values.withUnsafeBufferPointer { values in
          try out.withUnsafeMutableBufferPointer { out in
            try logSumExp.withUnsafeMutableBufferPointer { logSumExp in
              try attention.step(
                layer: layer, from: chunk.lowerBound, queries: queries, keys: keys, values: values,
                tokens: chunk.count, into: out, logSumExp: logSumExp)
            }
          }
        }
      }
    }
    return (out, logSumExp)
  }

  private func rows(_ all: [Float], _ chunk: Range<Int>, _ width: Int) -> [Float] {
    Array(all[chunk.lowerBound * width..<chunk.upperBound * width])
  }

  /// One call backward of what `step` gave.
  private func stepBackward(
    _ attention: some TrainingAttention, _ document: Document, _ layer: Int, _ chunk: Range<Int>,
    _ forward: (out: [Float], logSumExp: [Float])
  ) throws -> (dQueries: [Float], dKeys: [Float], dValues: [Float]) {
    let (queryWidth, keyWidth) = (
      document.shape.queryHeads * document.shape.headDim, document.shape.kvHeads * document.shape.headDim
    )
    let queries = rows(document.queries[layer], chunk, queryWidth)
    let dOut = rows(document.dOut[layer], chunk, queryWidth)
    var dQueries = [Float](repeating: .nan, count: queries.count)
    var dKeys = [Float](repeating: .nan, count: chunk.count * keyWidth)
    var dValues = dKeys
    try queries.withUnsafeBufferPointer { queries in
      try forward.out.withUnsafeBufferPointer { out in
        try forward.logSumExp.withUnsafeBufferPointer { logSumExp in
          try dOut.withUnsafeBufferPointer { dOut in
            try dQueries.withUnsafeMutableBufferPointer { dQueries in
              try dKeys.withUnsafeMutableBufferPointer { dKeys in
                try dValues.withUnsafeMutableBufferPointer { dValues in
                  try attention.stepBackward(
                    layer: layer, from: chunk.lowerBound, queries: queries, out: out, logSumExp: logSumExp,
                    dOut: dOut, tokens: chunk.count, dQueries: dQueries, dKeys: dKeys, dValues: dValues)
                }
              }
            }
          }
        }
      }
    }
    return (dQueries, dKeys, dValues)
  }

  /// A whole document: forward over the chunks, then back, each computed again before.
  private func run(
    _ attention: some TrainingAttention, _ document: Document, cuts: [Int]
  ) throws -> Results {
    var chunks: [Range<Int>] = []
    for (first, last) in zip([0] + cuts, cuts + [document.shape.tokens]) where first < last {
      chunks.append(first..<last)
    }
    var results = Results()
    for chunk in chunks {
      for layer in 0..<2 {
        let (out, logSumExp) = try step(attention, document, layer, chunk)
        results.out[layer] += out
        results.logSumExp[layer] += logSumExp
      }
    }
    for chunk in chunks.reversed() {
      let again = try (0..<2).map { try step(attention, document, $0, chunk) }
      for layer in [1, 0] {
        let (dQueries, dKeys, dValues) = try stepBackward(attention, document, layer, chunk, again[layer])
        results.dQueries[layer] = dQueries + results.dQueries[layer]
        results.dKeys[layer] = dKeys + results.dKeys[layer]
        results.dValues[layer] = dValues + results.dValues[layer]
      }
    }
    return results
  }

  private func cuts(_ tokens: Int, _ noise: inout Noise) -> [Int] {
    (0..<Int((noise.next() + 1) * 3)).map { _ in Int((noise.next() + 1) / 2 * Float(tokens)) }.sorted()
  }

  @Test(arguments: shapes, [Compute.float32, .bfloat16])
  func itIsTheFormula(_ shape: Shape, _ compute: Compute) throws {
    let configuration = try shape.configuration
    let document = Document(shape, seed: UInt64(shape.tokens))
    let attention = CausalTrainingAttention(configuration, compute: compute, capacity: shape.tokens)
    let exact = compute == .float32 ? document : document.rounded()
    let expected = try run(DenseTrainingAttention(configuration), exact, cuts: [])
    var noise = Noise(7)
    var whole: Results?
    for cuts in [[], [1], cuts(shape.tokens, &noise), cuts(shape.tokens, &noise)] {
      attention.reset()
      let given = try run(attention, document, cuts: cuts)
      for ((name, given), (_, expected)) in zip(given.tensors, expected.tensors) {
        for layer in 0..<2 {
          #expect(largestDifference(given[layer], expected[layer]) < 2e-5, "\(name), cuts \(cuts)")
          #expect(relativeDistance(given[layer], expected[layer]) < 5e-6, "\(name), cuts \(cuts)")
        }
      }
      // The output has the same bits however the document is cut, and the same cut gives the same gradients.
      #expect(given.out == (whole ?? given).out && given.logSumExp == (whole ?? given).logSumExp)
      whole = whole ?? given
      attention.reset()
      #expect(try run(attention, document, cuts: cuts) == given)
    }
  }

  /// A pass that was given up leaves nothing behind.
  @Test func resetForgetsAnUnfinishedPass() throws {
    let shape = Self.shapes[1]
    let document = Document(shape, seed: 2)
    let attention = CausalTrainingAttention(try shape.configuration, compute: .float32, capacity: 200)
    let expected = try run(attention, document, cuts: [70])
    attention.reset()
    for chunk in [0..<70, 70..<150] {
      for layer in 0..<2 { _ = try step(attention, document, layer, chunk) }
    }
    let again = try step(attention, document, 1, 70..<150)
    _ = try stepBackward(attention, document, 1, 70..<150, again)
    attention.reset()
    #expect(try run(attention, document, cuts: [70]) == expected)
  }

  @Test func callsThatBreakTheOrderAreRefused() throws {
    let shape = Self.shapes[2]
    let document = Document(shape, seed: 2)
    var other = document
    other.keys[0][3 * shape.kvHeads * shape.headDim] += 1
    let attention = CausalTrainingAttention(try shape.configuration, compute: .float32, capacity: 60)
    func refuses(_ code: ModelError.Code, _ body: () throws -> Void) {
      #expect { try body() } throws: { ($0 as? ModelError)?.code == code }
    }
    refuses(.invalidArgument) { _ = try step(attention, document, 0, 1..<5) }
    refuses(.invalidArgument) { _ = try step(attention, document, 0, 0..<61) }
    let first = try (0..<2).map { try step(attention, document, $0, 0..<10) }
    let second = try (0..<2).map { try step(attention, document, $0, 10..<20) }
    refuses(.mismatch) { _ = try step(attention, other, 0, 0..<10) }
    refuses(.invalidArgument) { _ = try step(attention, document, 0, 15..<25) }
    refuses(.invalidArgument) { _ = try stepBackward(attention, document, 0, 10..<20, second[0]) }
    refuses(.invalidArgument) { _ = try stepBackward(attention, document, 1, 10..<30, second[1]) }
    _ = try stepBackward(attention, document, 1, 10..<20, second[1])
    refuses(.invalidArgument) { _ = try stepBackward(attention, document, 1, 0..<10, first[1]) }
    _ = try stepBackward(attention, document, 0, 10..<20, second[0])
    refuses(.invalidArgument) { _ = try stepBackward(attention, document, 1, 0..<9, first[1]) }
    _ = try stepBackward(attention, document, 1, 0..<10, first[1])
  }

  /// The decoder's own pass over it, beside the same pass over the oracle.
  @Test func theDecoderTrainsOnIt() throws {
    for variant in RandomDecoder.variants {
      let decoder = try variant.load()
      let document = RandomDecoder.document
      let expected = try decoder.lossAndGradients(document, chunk: 8)
      decoder.gradients.setToZero()
      let attention = CausalTrainingAttention(decoder.configuration, compute: .float32, capacity: 23)
      let loss = try decoder.accumulate(document, chunk: 8, attention: attention)
      #expect(abs(loss - expected.loss) < 1e-6)
      let largest = largestDistance(decoder.copyOfGradients, expected.gradients)
      #expect(largest.distance <= 1e-5, "\(variant.testDescription): \(largest)")
    }
  }
}
