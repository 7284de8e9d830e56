/// The ratio of the experiment: where the pilot's dense control recalls neither nearly all nor nearly nothing.
package struct RatioChoice: Sendable, Hashable {
  package static let candidates = [0.5, 0.25, 0.125, 0.0625, 0.03125]
  package static let range = 0.2...0.7
  package static let aim = 0.45

  package let ratio: Double
  package let recall: Double

  /// Whether the recall is one that the design asks for.
  package var isInRange: Bool { Self.range.contains(recall) }

  /// The ratio whose recall is nearest to ``aim``; of two that are as near, the one that keeps more.
  ///
  /// - Parameter recalls: of the pilot's dense control, by ratio.
  /// - Returns: nil when there are none.
  package init?(_ recalls: [Double: Double]) {
    let nearest = recalls.min {
      let (left, right) = (abs($0.value - Self.aim), abs($1.value - Self.aim))
      return left == right ? $0.key > $1.key : left < right
    }
    guard let nearest else { return nil }
    (ratio, recall) = (nearest.key, nearest.value)
  }
}
