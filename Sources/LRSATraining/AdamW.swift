import Foundation
import Kernels
import Transformer

/// AdamW: Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2), on f32 weights and moments.
///
/// With `g` the scaled gradient and `t` the step, from 1:
///
///     m = β₁·m + (1 − β₁)·g
///     v = β₂·v + (1 − β₂)·g²
///     w = (1 − rate·decay)·w − rate · (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε)
///
/// Steps repeat bit for bit, on every CPU. A copy shares its moments with the original.
public struct AdamW {
  public struct Settings: Codable, Sendable, Hashable {
    /// Decay of the gradient's running mean, in 0..<1.
    public var beta1: Double
    /// Decay of the running mean of its square, in 0..<1.
    public var beta2: Double
    /// Added to the root of the second moment; positive.
    public var epsilon: Double
    /// Share of a weight that goes in a step, per unit of learning rate; not negative.
    public var weightDecay: Double

    public init(
      beta1: Double = 0.9, beta2: Double = 0.95, epsilon: Double = 1e-8, weightDecay: Double = 0.1
    ) {
      self.beta1 = beta1
      self.beta2 = beta2
      self.epsilon = epsilon
      self.weightDecay = weightDecay
    }
  }

  public let settings: Settings
  /// Updates so far.
  public var steps: Int
  /// Running mean of the gradient. With ``second`` and ``steps`` all that a checkpoint needs.
  public let first: ParameterBuffer
  /// Running mean of the gradient's square.
  public let second: ParameterBuffer

  /// - Parameters:
  ///   - layout: of the weights; moments begin at zero.
  ///   - settings: within the ranges that its properties tell.
  public init(layout: ParameterLayout, settings: Settings = Settings()) {
    precondition((0..<1).contains(settings.beta1) && (0..<1).contains(settings.beta2))
    precondition(settings.epsilon > 0 && settings.weightDecay >= 0)
    self.settings = settings
    steps = 0
    first = ParameterBuffer(layout)
    second = ParameterBuffer(layout)
  }

  /// Changes every weight by one step.
  ///
  /// - Parameters:
  ///   - weights: in the optimiser's layout.
  ///   - gradients: likewise; they stay as they are.
  ///   - learningRate: of this step.
  ///   - gradientScale: factor of the gradients: 1, or less where clipping asks for it.
  ///   - decays: whether a tensor is subject to weight decay.
  public mutating func update(
    _ weights: ParameterBuffer, _ gradients: ParameterBuffer, learningRate: Double, gradientScale: Double,
    decays: (ParameterLayout.Tensor) -> Bool
  ) {
    precondition(weights.layout == first.layout && gradients.layout == first.layout, "another layout")
    steps += 1
    let decayed = numbers(learningRate, gradientScale, weightDecay: settings.weightDecay)
    let kept = numbers(learningRate, gradientScale, weightDecay: 0)
    for tensor in first.layout.tensors {
      let step = decays(tensor) ? decayed : kept
      let range = tensor.range
      weights.withElements { weights in
        gradients.withElements { gradients in
          first.withElements { first in
            second.withElements { second in
              guard let weight = weights.baseAddress, let gradient = gradients.baseAddress,
                let mean = first.baseAddress, let square = second.baseAddress
              else { return }
              // All four have layout.count elements, of which the tensor is a part.
              Team.split(range.count) { part in
                let start = range.lowerBound + part.lowerBound
                withUnsafePointer(to: step) {
                  lagoon_adamw($0, gradient + start, weight + start, mean + start, square + start, part.count)
                }
              }
            }
          }
        }
      }
    }
  }

  /// What the kernel needs of this step, computed in f64.
  private func numbers(
    _ learningRate: Double, _ gradientScale: Double, weightDecay: Double
  ) -> lagoon_adamw_step {
    let (beta1, beta2) = (settings.beta1, settings.beta2)
    let exponent = Double(steps)
    return lagoon_adamw_step(
      gradientScale: Float(gradientScale), firstDecay: Float(beta1), firstShare: Float(1 - beta1),
      secondDecay: Float(beta2), secondShare: Float(1 - beta2),
      weightFactor: Float(1 - learningRate * weightDecay),
      rate: Float(learningRate / (1 - pow(beta1, exponent))),
      secondFactor: Float(1 / (1 - pow(beta2, exponent)).squareRoot()), epsilon: Float(settings.epsilon))
  }
}
