/// Tells a loss that stands out from those before it: its step is left out where that is asked for.
///
/// A rise that lasts is no spike: after a run of them the new level is taken for what it is.
public struct SpikeFilter: Codable, Sendable, Hashable {
  /// A loss above this multiple of the recent median is a spike.
  public let factor: Double
  private var recent: [Double] = []
  /// The spikes since the last loss that was none; nil for none. Optional, so that states without it can be read.
  private var spikes: [Double]?

  private static let window = 32
  /// Losses that are needed before one can stand out, and spikes in a row after which no further one is.
  package static let minimum = 8

  public init(factor: Double) {
    self.factor = factor
  }

  /// The median of the recent losses; nil while they are too few.
  public var median: Double? {
    guard recent.count >= Self.minimum else { return nil }
    let sorted = recent.sorted()
    return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
  }

  /// Whether the loss is a spike; if it is not, it counts among the recent ones.
  public mutating func isSpike(_ loss: Double) -> Bool {
    if let median, loss > factor * median {
      let spikes = self.spikes ?? []
      if spikes.count < Self.minimum {
        self.spikes = spikes + [loss]
        return true
      }
      recent = spikes
    }
    spikes = nil
    recent.append(loss)
    if recent.count > Self.window { recent.removeFirst() }
    return false
  }
}
