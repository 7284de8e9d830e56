import Foundation

/// The marked values of an axis.
package struct Ticks: Sendable, Hashable {
  /// Ascending.
  package var values: [Double]
  package var labels: [String]

  package init(values: [Double], labels: [String]) {
    precondition(values.count == labels.count, "a label for each tick")
    (self.values, self.labels) = (values, labels)
  }

  /// Multiples of 1, 2 or 5 times a power of ten, the first at or below `range` and the last at or above it.
  ///
  /// - Parameter count: intervals to aim at; there are at most two more.
  package static func linear(covering range: ClosedRange<Double>, intervals count: Int) -> Ticks {
    let range = widened(range)
    let raw = (range.upperBound - range.lowerBound) / Double(max(1, count))
    var (factor, exponent) = decimal(raw)
    var step = Decimal.value(factor, exponent)
    if step < raw {
      (factor, exponent) = factor == 1 ? (2, exponent) : factor == 2 ? (5, exponent) : (1, exponent + 1)
      step = Decimal.value(factor, exponent)
    }
    // Whole multiples, so that 3 × 0.1 is 0.3.
    let first = Int((range.lowerBound / step).rounded(.down))
    let last = Int((range.upperBound / step).rounded(.up))
    let decimals = (first...last).map { Decimal(mantissa: $0 * factor, exponent: exponent) }
    return Ticks(values: decimals.map(\.value), labels: Decimal.labels(decimals))
  }

  /// 1, 2 and 5 times powers of ten, the first at or below `range` and the last at or above it. Where these would be too many,
  /// only the ends are of this kind and the ticks between them are powers of ten.
  ///
  /// - Parameters:
  ///   - range: above 0.
  ///   - count: intervals to aim at.
  package static func logarithmic(covering range: ClosedRange<Double>, intervals count: Int) -> Ticks {
    let steps = [1, 2, 5]
    // Positions on the scale …, 1, 2, 5, 10, 20, …: three of them a power of ten.
    func tick(_ position: Int) -> Decimal {
      let power = Int((Double(position) / 3).rounded(.down))
      return Decimal(mantissa: steps[position - 3 * power], exponent: power)
    }
    let start = 3 * decimal(range.lowerBound).exponent
    let first = (start - 1...start + 3).last { tick($0).value <= range.lowerBound } ?? start
    let end = 3 * decimal(range.upperBound).exponent
    var last = (end - 1...end + 4).first { tick($0).value >= range.upperBound } ?? end + 4
    if last == first { last += 1 }
    let all = Array(first...last)
    guard all.count > count + 1 else {
      return Ticks(values: all.map { tick($0).value }, labels: all.map { tick($0).label })
    }
    let powers = all.filter { $0 % 3 == 0 }
    let stride = (powers.count + count) / (count + 1)
    let chosen = powers.enumerated().filter { $0.offset % max(1, stride) == 0 }.map(\.element)
    var ticks = Ticks(values: chosen.map { tick($0).value }, labels: chosen.map { tick($0).label })
    // The ends carry no label, but the axis reaches to them.
    for (position, at) in [(first, 0), (last, nil as Int?)] where !chosen.contains(position) {
      ticks.values.insert(tick(position).value, at: at ?? ticks.values.count)
      ticks.labels.insert("", at: at ?? ticks.labels.count)
    }
    return ticks
  }

  /// The ticks that lie in a range.
  package func within(_ range: ClosedRange<Double>) -> Ticks {
    let kept = values.indices.filter { range.contains(values[$0]) }
    return Ticks(values: kept.map { values[$0] }, labels: kept.map { labels[$0] })
  }

  /// A range with some width, also when there is one value only.
  private static func widened(_ range: ClosedRange<Double>) -> ClosedRange<Double> {
    let (low, high) = (range.lowerBound, range.upperBound)
    let size = max(abs(low), abs(high))
    // Narrower than this, neighbouring ticks would be the same number.
    guard high - low <= size * 1e-9 else { return range }
    return size == 0 ? 0...1 : low - size * 0.1...high + size * 0.1
  }

  /// The largest of 1, 2 and 5 times a power of ten that is not above `value`, which is above 0.
  private static func decimal(_ value: Double) -> (factor: Int, exponent: Int) {
    // The logarithm may be off by its rounding, next to a power of ten.
    var exponent = Int(log10(value).rounded(.down)) - 1
    while exponent < 308, Decimal.value(1, exponent + 1) <= value { exponent += 1 }
    let factor = [5, 2].first { Decimal.value($0, exponent) <= value } ?? 1
    return (factor, exponent)
  }
}
