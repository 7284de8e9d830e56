import Foundation

/// Chooses the next token from logits: the likeliest, or a seeded draw from the nucleus.
public struct Sampler: Sendable {
  /// 0 is greedy.
  public let temperature: Double
  /// Mass of the nucleus, `0 < topP ≤ 1`: the fewest likeliest tokens whose probabilities reach it.
  public let topP: Double
  private var generator: SplitMix64

  /// - Throws: `invalidArgument` for a negative temperature or a nucleus outside of `0 < topP ≤ 1`.
  public init(temperature: Double = 0, topP: Double = 1, seed: UInt64 = 0) throws(ModelError) {
    guard temperature.isFinite, temperature >= 0 else {
      throw ModelError(
        .invalidArgument, "\(temperature) is not a temperature; 0 is greedy, 1 as trained",
        name: "temperature")
    }
    guard topP > 0, topP <= 1 else {
      throw ModelError(.invalidArgument, "\(topP) is outside of 0 < top-p ≤ 1", name: "top-p")
    }
    self.temperature = temperature
    self.topP = topP
    generator = SplitMix64(seed: seed)
  }

  /// The id of the next token; equal logits go to the lower id.
  ///
  /// - Parameter logits: `[vocabulary]`, not empty.
  public mutating func next(_ logits: some Collection<Float>) -> UInt32 {
    precondition(!logits.isEmpty, "no logits")
    let logits = Array(logits)
    if temperature == 0 {
      return UInt32(logits.indices.reduce(0) { logits[$1] > logits[$0] ? $1 : $0 })
    }
    let order = logits.indices.sorted { (-logits[$0], $0) < (-logits[$1], $1) }
    let peak = Double(logits[order[0]])
    var weights: [Double] = []
    let total = logits.reduce(0) { $0 + exp((Double($1) - peak) / temperature) }
    var mass = 0.0
    for index in order {
      let weight = exp((Double(logits[index]) - peak) / temperature) / total
      weights.append(weight)
      mass += weight
      if mass >= topP { break }
    }
    var draw = generator.unit() * mass
    for (weight, index) in zip(weights, order) {
      draw -= weight
      if draw < 0 { return UInt32(index) }
    }
    return UInt32(order[weights.count - 1])
  }
}

/// Negative log-likelihood of tokens under logits, in f64.
public enum CrossEntropy {
  /// `-log softmax(logits)[target]`, natural logarithm.
  ///
  /// - Parameter logits: `[vocabulary]`.
  public static func negativeLogLikelihood(_ logits: some Collection<Float>, target: UInt32) -> Double {
    precondition(target < logits.count, "target outside of the vocabulary")
    let peak = Double(logits.max() ?? 0)
    let total = logits.reduce(0.0) { $0 + exp(Double($1) - peak) }
    return peak + log(total) - Double(logits[logits.index(logits.startIndex, offsetBy: Int(target))])
  }
}
