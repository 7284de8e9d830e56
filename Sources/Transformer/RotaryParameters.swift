import Foundation

/// Rotary position embedding, as the configuration asks for it.
public struct RotaryParameters: Sendable, Hashable {
  /// Base of the frequencies: unscaled, channel pair `i` turns by `theta^(-2i/headDim)` radians per position.
  public let theta: Double
  /// How the frequencies are changed for contexts longer than the first training's.
  public let scaling: RotaryScaling

  public init(theta: Double, scaling: RotaryScaling = .none) {
    self.theta = theta
    self.scaling = scaling
  }
}

extension RotaryParameters {
  /// For people: the base and what is done to the frequencies.
  public var summary: String {
    let base = "theta \(theta.formatted)"
    switch scaling {
    case .none: return base
    case .linear(let factor): return "\(base), linear by \(factor.formatted)"
    case .llama3(let factor, _, _, let positions):
      return "\(base), llama3 by \(factor.formatted) beyond \(positions) positions"
    case .yarn(let yarn):
      return "\(base), yarn by \(yarn.factor.formatted) beyond \(yarn.originalPositions) positions, "
        + "attention factor \(yarn.attentionFactor.formatted)"
    }
  }
}

extension Double {
  /// Without a fraction where there is none, else five digits.
  fileprivate var formatted: String {
    self == rounded() && abs(self) < 1e15 ? String(Int(self)) : String(self)
  }
}

/// The ways to stretch rotary frequencies, by the names of `rope_type`. Factors are at least 1.
public enum RotaryScaling: Sendable, Hashable {
  /// `default`.
  case none
  /// `linear` (Chen et al. 2023, position interpolation): every frequency divided by `factor`.
  case linear(factor: Double)
  /// `llama3`: frequencies with wavelengths beyond `originalPositions / lowFrequencyFactor` are divided by `factor`, those
  /// within `originalPositions / highFrequencyFactor` stay, and those between are blended.
  case llama3(factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalPositions: Int)
  /// `yarn` (Peng et al. 2023).
  case yarn(YarnParameters)
}

/// YaRN: channel pairs that turn more than `betaFast` times over the original context stay, those that turn less than
/// `betaSlow` times are interpolated, with a linear ramp over the pairs between; cosines and sines are multiplied by
/// `attentionFactor`.
public struct YarnParameters: Sendable, Hashable {
  public let factor: Double
  public let originalPositions: Int
  public let betaFast: Double
  public let betaSlow: Double
  /// Whether the ramp's ends are moved outwards to whole pairs.
  public let truncate: Bool
  public let attentionFactor: Double

  public init(
    factor: Double, originalPositions: Int, betaFast: Double = 32, betaSlow: Double = 1,
    truncate: Bool = true,
    attentionFactor: Double
  ) {
    self.factor = factor
    self.originalPositions = originalPositions
    self.betaFast = betaFast
    self.betaSlow = betaSlow
    self.truncate = truncate
    self.attentionFactor = attentionFactor
  }

  /// `0.1 · mscale · ln(factor) + 1`, the paper's temperature as a factor of queries and keys (its equation 22 for mscale 1).
  public static func attentionFactor(_ factor: Double, mscale: Double = 1) -> Double {
    factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1
  }
}

extension RotaryParameters {
  /// Factor of cosines and sines.
  package var attentionFactor: Double {
    if case .yarn(let yarn) = scaling { yarn.attentionFactor } else { 1 }
  }

  /// Radians per position of each channel pair, `[headDim / 2]`, in f64.
  package func frequencies(headDim: Int) -> [Double] {
    let plain = (0..<headDim / 2).map { pow(theta, -2 * Double($0) / Double(headDim)) }
    switch scaling {
    case .none: return plain
    case .linear(let factor): return plain.map { $0 / factor }
    case .llama3(let factor, let low, let high, let positions):
      return plain.map { frequency in
        let turns = Double(positions) * frequency / (2 * .pi)
        // 0 below lowFrequencyFactor turns over the original context, 1 above highFrequencyFactor.
        let kept = min(max((turns - low) / (high - low), 0), 1)
        return (1 - kept) * frequency / factor + kept * frequency
      }
    case .yarn(let yarn):
      let ramp = yarn.interpolation(theta: theta, headDim: headDim)
      return zip(plain, ramp).map { $0 / yarn.factor * $1 + $0 * (1 - $1) }
    }
  }
}

extension YarnParameters {
  /// How much of each pair's frequency is interpolated, 0...1.
  fileprivate func interpolation(theta: Double, headDim: Int) -> [Double] {
    /// The pair, as a fraction, that turns this often over the original context.
    func pair(turns: Double) -> Double {
      Double(headDim) * log(Double(originalPositions) / (turns * 2 * .pi)) / (2 * log(theta))
    }
    var first = pair(turns: betaFast)
    var last = pair(turns: betaSlow)
    if truncate { (first, last) = (first.rounded(.down), last.rounded(.up)) }
    first = max(first, 0)
    last = min(last, Double(headDim - 1))
    if first == last { last += 0.001 }
    return (0..<headDim / 2).map { min(max((Double($0) - first) / (last - first), 0), 1) }
  }
}
