import Transformer

/// The products of a dense step, forward and backward, on oneDNN and nothing else: the step's ceiling.
struct DenseProducts {
  private let products: [(product: PlainProduct, times: Int)]
  /// Floating-point operations of the linear layers' products, and of attention's, of which a token sees half of the document.
  let linearOperations: Double
  let attentionOperations: Double

  init(_ c: ModelConfiguration, _ backend: MatmulBackend, documents: Int, tokens: Int) throws {
    let rows = documents * tokens
    let (queryWidth, keyWidth) = (c.queryHeads * c.headDim, c.kvHeads * c.headDim)
    var products: [(product: PlainProduct, times: Int)] = []
    func linear(_ inputs: Int, _ outputs: Int, _ times: Int) throws {
      products.append((try PlainProduct(backend, rows: rows, inputs: inputs, outputs: outputs), times))
      products.append((try PlainProduct(backend, rows: rows, inputs: outputs, outputs: inputs), times))
      products.append(
        (try PlainProduct(backend, rows: outputs, inputs: rows, outputs: inputs, isTransposed: true), times))
    }
    try linear(c.hiddenSize, queryWidth, c.layers)
    try linear(c.hiddenSize, keyWidth, 2 * c.layers)
    try linear(queryWidth, c.hiddenSize, c.layers)
    try linear(c.hiddenSize, c.intermediateSize, 2 * c.layers)
    try linear(c.intermediateSize, c.hiddenSize, c.layers)
    try linear(c.hiddenSize, c.vocabularySize, 1)
    self.products = products
    linearOperations = products.reduce(0) { $0 + $1.product.operations * Double($1.times) }
    // Two products forward and five backward, over half of [tokens, tokens].
    let pairs = Double(documents) * Double(tokens) * Double(tokens + 1) / 2
    attentionOperations = 7 * 2 * pairs * Double(queryWidth * c.layers)
  }

  /// Operations per second: each product once, counted as often as the step has it.
  func rate() throws -> Double {
    var time = 0.0
    for (product, times) in products { time += try seconds { try product.run() } * Double(times) }
    return linearOperations / time
  }
}
