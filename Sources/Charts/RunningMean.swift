import Foundation

/// Smooths a noisy curve.
package enum RunningMean {
  /// The exponential mean to both sides: a value weighs `exp(−2·distance / width)` in the mean at another x. Unlike a mean over
  /// earlier values only, it does not lag behind a curve that falls.
  ///
  /// - Parameters:
  ///   - points: in ascending order of x. Where one is missing, the mean is.
  ///   - width: above 0, in units of x; the weights' integral, so that a mean is over about so many steps.
  ///   - isLogarithmic: the mean is of logarithms, for values over which the axis is logarithmic; those not above 0 are left out.
  ///   - isUsed: whether the value at an x counts.
  /// - Complexity: linear in the number of points.
  package static func smooth(
    _ points: [Series.Point], width: Double, isLogarithmic: Bool = false,
    using isUsed: (Double) -> Bool = { _ in true }
  ) -> [Series.Point] {
    let values: [Double?] = points.map { point in
      point.y.flatMap { isLogarithmic ? ($0 > 0 ? log($0) : nil) : $0 }
    }
    var sums = Array(repeating: (value: 0.0, weight: 0.0), count: points.count)

    /// Adds what the values up to each point weigh there, in the order of `indices`.
    func add(_ indices: some Sequence<Int>, includingOwn: Bool) {
      var (sum, weight) = (0.0, 0.0)
      var last: Double?
      for index in indices {
        let decay = last.map { exp(-2 * abs(points[index].x - $0) / width) } ?? 0
        (sum, weight, last) = (sum * decay, weight * decay, points[index].x)
        let own = values[index].flatMap { isUsed(points[index].x) ? $0 : nil }
        if includingOwn, let own { (sum, weight) = (sum + own, weight + 1) }
        sums[index].value += sum
        sums[index].weight += weight
        if !includingOwn, let own { (sum, weight) = (sum + own, weight + 1) }
      }
    }
    add(points.indices, includingOwn: true)
    add(points.indices.reversed(), includingOwn: false)
    return points.indices.map { index in
      guard values[index] != nil, sums[index].weight > 0 else { return Series.Point(points[index].x, nil) }
      let mean = sums[index].value / sums[index].weight
      return Series.Point(points[index].x, isLogarithmic ? exp(mean) : mean)
    }
  }
}
