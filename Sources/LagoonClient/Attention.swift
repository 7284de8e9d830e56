import Glibc

/// Attention's result, laid out as the queries were.
public struct Attention: Sendable, Hashable {
  /// `[tokens, queryHeads, headDim]`, or `[queryHeads, tokens, headDim]` for head-major queries.
  public var out: [Float]
  /// `[tokens, queryHeads]` or `[queryHeads, tokens]`; natural logarithm, -inf where a query saw no row.
  public var logSumExp: [Float]
  /// The token count attended over.
  public var tokens: Int

  public init(out: [Float], logSumExp: [Float], tokens: Int) {
    self.out = out
    self.logSumExp = logSumExp
    self.tokens = tokens
  }
}

extension Attention {
  /// Attention over everything, from attention of the same queries over parts of it, here or elsewhere: per query and head
  /// `lse = log Σ exp(lseᵢ)` and `out = Σ exp(lseᵢ − lse) outᵢ`, computed in f64. The order of the parts changes it by rounding only.
  ///
  /// - Parameter parts: at least one; all laid out alike, of parts that share no row. Where a query saw no row of a part (`-inf`), that
  ///   part's `out` is not looked at. A NaN stays visible.
  /// - Returns: `out` is 0 and `logSumExp` -inf where a query saw no row at all; `tokens` is the sum of the parts'.
  public static func merged(_ parts: [Attention]) -> Attention {
    precondition(!parts.isEmpty, "there is a part")
    precondition(
      parts.allSatisfy {
        $0.out.count == parts[0].out.count && $0.logSumExp.count == parts[0].logSumExp.count
      },
      "parts are laid out alike")
    var result = parts[0]
    result.tokens = parts.reduce(0) { $0 + $1.tokens }
    let rows = result.logSumExp.count
    let headDim = rows == 0 ? 0 : result.out.count / rows
    var sums = [Double](repeating: 0, count: headDim)
    for row in 0..<rows {
      let seen = parts.filter { $0.logSumExp[row] != -.infinity }
      let largest = seen.map { Double($0.logSumExp[row]) }.max() ?? 0
      var weight = 0.0
      for channel in 0..<headDim { sums[channel] = 0 }
      for part in seen {
        let share = exp(Double(part.logSumExp[row]) - largest)
        weight += share
        for channel in 0..<headDim { sums[channel] += share * Double(part.out[row * headDim + channel]) }
      }
      result.logSumExp[row] = seen.isEmpty ? -.infinity : Float(largest + log(weight))
      for channel in 0..<headDim {
        result.out[row * headDim + channel] = seen.isEmpty ? 0 : Float(sums[channel] / weight)
      }
    }
    return result
  }
}
