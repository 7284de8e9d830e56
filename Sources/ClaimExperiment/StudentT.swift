/// Student's t distribution, as far as intervals of a few paired differences need it.
package enum StudentT {
  /// 0.975 quantiles for 1, 2, … degrees of freedom (NIST/SEMATECH e-Handbook of Statistical Methods, section 1.3.6.7.2).
  package static let quantiles = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262]

  /// Half the width of a 95% interval, in standard errors.
  ///
  /// - Returns: nil for fewer than two values, which have no spread, and for more than ten, which the table does not reach.
  package static func quantile(values count: Int) -> Double? {
    quantiles.indices.contains(count - 2) ? quantiles[count - 2] : nil
  }
}

/// A mean, and the interval in which the mean of such values lies, 95% of the time, if they are about normal.
package struct Estimate: Sendable, Hashable {
  package let mean: Double
  package let count: Int
  /// nil: of one value there is none.
  package let interval: ClosedRange<Double>?

  /// - Parameter values: not empty, or there is no estimate; independent of each other, such as one of each seed.
  package init?(_ values: [Double]) {
    guard !values.isEmpty else { return nil }
    count = values.count
    let mean = values.reduce(0, +) / Double(values.count)
    self.mean = mean
    guard let quantile = StudentT.quantile(values: values.count) else {
      interval = nil
      return
    }
    let squares = values.reduce(0.0) { $0 + ($1 - mean) * ($1 - mean) }
    let variance = squares / Double(values.count - 1)
    let reach = quantile * (variance / Double(values.count)).squareRoot()
    interval = mean - reach...mean + reach
  }

  /// Of `left` minus `right`, seed by seed; seeds that only one of them has are left out.
  package init?(_ left: [Int: Double], minus right: [Int: Double]) {
    self.init(left.keys.sorted().compactMap { seed in right[seed].map { (left[seed] ?? 0) - $0 } })
  }
}
