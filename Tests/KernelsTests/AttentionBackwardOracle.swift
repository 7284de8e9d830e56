import Glibc

/// Attention of one KV head and its backward pass in double precision, straight from the definition.
struct BackwardReference {
  /// `Σ dOut · out + Σ dLogSumExp · logSumExp` over the rows that see a key: what the gradients belong to.
  private(set) var loss = 0.0
  private(set) var logSumExp: [Double]
  private(set) var largestLogit = 0.0
  /// `Σ dOut · out − dLogSumExp` per row.
  private(set) var delta: [Double]
  private(set) var gradients: Gradients<Double>
  /// The same sums, of the terms' magnitudes: what rounding errors are proportional to.
  private(set) var terms: Gradients<Double>

  /// The gradients too unless `lossOnly`.
  init(
    _ input: BackwardCase, queries: [Double]? = nil, keys: [Double]? = nil, values: [Double]? = nil,
    lossOnly: Bool = false
  ) {
    let dim = input.headDim
    let q = queries ?? input.queries.map(Double.init)
    let k = keys ?? input.keys.map(Double.init)
    let v = values ?? input.values.map(Double.init)
    let dOut = input.dOut.map(Double.init)
    logSumExp = [Double](repeating: -.infinity, count: input.rows)
    delta = input.dLogSumExp.map { -Double($0) }
    gradients = Gradients(
      dQueries: [Double](repeating: 0, count: q.count), dKeys: [Double](repeating: 0, count: k.count),
      dValues: [Double](repeating: 0, count: v.count))
    terms = gradients
    func dot(_ a: [Double], _ i: Int, _ b: [Double], _ j: Int) -> Double {
      var sum = 0.0
      for c in 0..<dim { sum += a[i * dim + c] * b[j * dim + c] }
      return sum
    }
    for row in 0..<input.rows {
      let visible = input.visible(row: row)
      if visible == 0 { continue }
      let logits = (0..<visible).map { dot(q, row, k, $0) }
      let largest = logits.max() ?? 0
      largestLogit = logits.reduce(largestLogit) { max($0, abs($1)) }
      let sum = logits.reduce(0.0) { $0 + exp($1 - largest) }
      logSumExp[row] = largest + log(sum)
      let weights = logits.map { exp($0 - largest) / sum }
      let dWeights = (0..<visible).map { dot(dOut, row, v, $0) }
      let dOutOut = zip(weights, dWeights).reduce(0.0) { $0 + $1.0 * $1.1 }
      delta[row] += dOutOut
      loss += dOutOut + Double(input.dLogSumExp[row]) * logSumExp[row]
      if lossOnly { continue }
      for r in 0..<visible {
        let dLogit = weights[r] * (dWeights[r] - delta[row])
        let magnitude = weights[r] * (abs(dWeights[r]) + abs(delta[row]))
        for c in 0..<dim {
          gradients.dQueries[row * dim + c] += dLogit * k[r * dim + c]
          gradients.dKeys[r * dim + c] += dLogit * q[row * dim + c]
          gradients.dValues[r * dim + c] += weights[r] * dOut[row * dim + c]
          terms.dQueries[row * dim + c] += magnitude * abs(k[r * dim + c])
          terms.dKeys[r * dim + c] += magnitude * abs(q[row * dim + c])
          terms.dValues[r * dim + c] += weights[r] * abs(dOut[row * dim + c])
        }
      }
    }
  }

  /// Changes what a kernel is told of the forward pass, row by row.
  mutating func replaceForward(_ change: (Int, Double, Double) -> (Double, Double)) {
    for row in logSumExp.indices { (logSumExp[row], delta[row]) = change(row, logSumExp[row], delta[row]) }
  }
}
