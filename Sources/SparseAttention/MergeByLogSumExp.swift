#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Attention of the same queries over one part of the keys.
public struct AttentionPart {
  /// f32 `[tokens, heads, headDim]`.
  public let out: MutableTensorView
  /// f32 `[tokens, heads]`; -infinity where a query saw no key of the part.
  public let logSumExp: LogSumExpView

  public init(out: MutableTensorView, logSumExp: LogSumExpView) {
    self.out = out
    self.logSumExp = logSumExp
  }
}

/// Attention over the whole from attention over parts that share no key: `lse = log Σ exp(lseᵢ)` and
/// `out = Σ exp(lseᵢ − lse) outᵢ`, per query and head. No parts, or no key in any of them, gives 0 and -infinity.
///
/// - Parameters:
///   - parts: all of the shape of the result; the result may be one of them.
public func mergeByLogSumExp(
  _ parts: [AttentionPart], out: MutableTensorView, logSumExp: LogSumExpView
) {
  precondition(logSumExp.tokens == out.tokens && logSumExp.heads == out.heads)
  for part in parts {
    precondition(
      part.out.tokens == out.tokens && part.out.heads == out.heads && part.out.headDim == out.headDim
        && part.logSumExp.tokens == out.tokens && part.logSumExp.heads == out.heads)
  }
  var weights = [Double](repeating: 0, count: parts.count)
  for token in 0..<out.tokens {
    for head in 0..<out.heads {
      var largest = -Double.infinity
      for part in parts { largest = max(largest, Double(part.logSumExp[token, head])) }
      var sum = 0.0
      for i in parts.indices {
        let difference = Double(parts[i].logSumExp[token, head]) - largest
        weights[i] = largest == -.infinity ? 0 : exp(difference)
        sum += weights[i]
      }
      let to = out.row(token: token, head: head)
      for c in 0..<out.headDim {
        var value = 0.0
        // A part without keys is skipped, whatever its memory holds.
        for i in parts.indices where weights[i] > 0 {
          let from = parts[i].out.row(token: token, head: head)
          value += weights[i] * Double(from.loadUnaligned(fromByteOffset: 4 * c, as: Float.self))
        }
        to.storeBytes(of: sum > 0 ? Float(value / sum) : 0, toByteOffset: 4 * c, as: Float.self)
      }
      logSumExp[token, head] = sum > 0 ? Float(largest + log(sum)) : -.infinity
    }
  }
}
