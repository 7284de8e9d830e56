import Foundation

/// The learning rate over a run: it rises in a line, then falls along half a cosine (Loshchilov & Hutter 2017).
public struct LearningRateSchedule: Codable, Sendable, Hashable {
  /// At the end of the warm-up.
  public var peak: Double
  /// At the last step, as a share of the peak, 0...1.
  public var finalShare: Double
  public var warmUpSteps: Int
  /// Of the whole run.
  public var steps: Int

  public init(peak: Double, finalShare: Double = 0.1, warmUpSteps: Int, steps: Int) {
    self.peak = peak
    self.finalShare = finalShare
    self.warmUpSteps = warmUpSteps
    self.steps = steps
  }

  /// - Parameter step: from 0.
  public func rate(step: Int) -> Double {
    if step < warmUpSteps { return peak * Double(step + 1) / Double(warmUpSteps) }
    let progress = Double(step - warmUpSteps) / Double(max(steps - 1 - warmUpSteps, 1))
    return peak * (finalShare + (1 - finalShare) * 0.5 * (1 + cos(.pi * min(progress, 1))))
  }
}
