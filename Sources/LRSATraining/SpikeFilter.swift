/// Tells a loss that stands out from those before it: its step is left out where that is asked for.
public struct SpikeFilter: Codable, Sendable, Hashable {
  /// A loss above this multiple of the recent median is a spike.
  public let factor: Double
  private var recent: [Double] = []

  private static let window = 32
  /// Losses that are needed before one can stand out.
  private static let minimum = 8

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
    if let median, loss > factor * median { return true }
    recent.append(loss)
    if recent.count > Self.window { recent.removeFirst() }
    return false
  }
}
