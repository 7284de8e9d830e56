import Charts
import Foundation
import Testing

@Suite struct TicksTests {
  /// What a reader takes a label for.
  private func number(_ label: String) -> Double? {
    Double(label.replacingOccurrences(of: ",", with: "").replacingOccurrences(of: "−", with: "-"))
  }

  private func isOneTwoOrFive(_ value: Double) -> Bool {
    let mantissa = value / pow(10, log10(value).rounded(.down))
    return [1, 2, 5, 10].contains { abs(mantissa / $0 - 1) < 1e-9 }
  }

  /// Ranges of all sizes, around 0 and far from it.
  private func ranges(_ count: Int) -> [ClosedRange<Double>] {
    (0..<count).map { _ in
      let size = pow(10, Double.random(in: -12...12))
      let low = Double.random(in: -3...3) * size * (Bool.random() ? 1 : 100)
      return low...low + Double.random(in: 0.01...2) * size
    }
  }

  @Test func linearTicksAreRoundAndCoverTheRange() {
    for range in ranges(3000) + [0...1, 0...3e-4, -1...0, 99...101, 0...1e15] {
      let intervals = Int.random(in: 2...8)
      let ticks = Ticks.linear(covering: range, intervals: intervals)
      let values = ticks.values
      #expect(values[0] <= range.lowerBound && values[values.count - 1] >= range.upperBound)
      #expect((2...intervals + 3).contains(values.count))
      let step = values[1] - values[0]
      let size = max(abs(values[0]), abs(values[values.count - 1]))
      for (from, to) in zip(values, values.dropFirst()) { #expect(abs(to - from - step) <= size * 1e-12) }
      if step > size * 1e-4 { #expect(isOneTwoOrFive(step)) }
      // No tick more than it takes.
      #expect(values[1] > range.lowerBound && values[values.count - 2] < range.upperBound)
    }
  }

  @Test func labelsSayExactlyTheValues() {
    for range in ranges(3000) {
      let ticks = Ticks.linear(covering: range, intervals: 5)
      for (value, label) in zip(ticks.values, ticks.labels) {
        #expect(number(label) == value, "\(label) \(value)")
      }
      #expect(Set(ticks.labels).count == ticks.labels.count)
    }
  }

  @Test(arguments: [
    (0...1.0, 5, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]), (0...9000.0, 3, ["0", "5,000", "10,000"]),
    (0...3e-4, 3, ["0", "1e-4", "2e-4", "3e-4"]), (-1...1.0, 2, ["−1", "0", "1"]),
    (1.3012...1.3031, 2, ["1.301", "1.302", "1.303", "1.304"]), (0...4e7, 2, ["0", "2e7", "4e7"]),
    (0.3...0.3, 2, ["0.25", "0.30", "0.35"]), (0...0.0, 2, ["0.0", "0.5", "1.0"]),
  ])
  func labelsAreWhatOneWouldWrite(_ range: ClosedRange<Double>, _ intervals: Int, _ expected: [String]) {
    let labels = Ticks.linear(covering: range, intervals: intervals).labels
    #expect(labels.map { $0 == "0.0" ? "0" : $0 } == expected.map { $0 == "0.0" ? "0" : $0 })
  }

  @Test func logarithmicTicksAreRoundAndCoverTheRange() {
    for _ in 0..<3000 {
      let low = pow(10, Double.random(in: -9...9))
      let range = low...low * pow(10, Double.random(in: 0...8))
      let intervals = Int.random(in: 2...8)
      let ticks = Ticks.logarithmic(covering: range, intervals: intervals)
      let values = ticks.values
      #expect(values.count >= 2)
      #expect(values[0] <= low && values[values.count - 1] >= range.upperBound)
      #expect(values[0] >= low / 2.5001 && values[values.count - 1] <= range.upperBound * 5.0001)
      #expect(values == values.sorted() && Set(values).count == values.count)
      let labelled = zip(values, ticks.labels).filter { !$0.1.isEmpty }
      #expect((1...intervals + 1).contains(labelled.count))
      for (value, label) in labelled { #expect(number(label) == value && isOneTwoOrFive(value)) }
    }
  }

  @Test func ticksWithinARangeAreThoseOfIt() {
    let ticks = Ticks.linear(covering: 0...10, intervals: 5).within(1...8)
    #expect(ticks.values == [2, 4, 6, 8])
    #expect(ticks.labels == ["2", "4", "6", "8"])
  }
}
