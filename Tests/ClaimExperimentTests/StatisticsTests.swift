import ClaimExperiment
import Foundation
import Testing

@Suite struct StatisticsTests {
  /// P(|T| ≤ t) for whole degrees of freedom, in closed form (Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and
  /// 26.7.4).
  private func within(_ t: Double, degrees: Int) -> Double {
    let angle = atan(t / Double(degrees).squareRoot())
    let isOdd = degrees % 2 == 1
    var (term, sum) = (isOdd ? cos(angle) : 1, isOdd ? 0.0 : 1.0)
    if isOdd {
      var power = 1
      while power <= degrees - 2 {
        sum += term
        term *= cos(angle) * cos(angle) * Double(power + 1) / Double(power + 2)
        power += 2
      }
      return 2 / Double.pi * (angle + sin(angle) * sum)
    }
    var power = 2
    while power <= degrees - 2 {
      term *= cos(angle) * cos(angle) * Double(power - 1) / Double(power)
      sum += term
      power += 2
    }
    return sin(angle) * sum
  }

  @Test func quantilesLeaveATwentiethOutside() {
    for (index, quantile) in StudentT.quantiles.enumerated() {
      let outside = 1 - within(quantile, degrees: index + 1)
      #expect(abs(outside - 0.05) < 5e-5, "\(index + 1) degrees of freedom")
    }
    #expect(StudentT.quantiles.count == 9)
    #expect(StudentT.quantile(values: 5) == 2.776)
    #expect(StudentT.quantile(values: 1) == nil && StudentT.quantile(values: 11) == nil)
  }

  /// Means of five normal values lie in their interval 95% of the time.
  @Test func intervalsHoldTheMean() throws {
    var state: UInt64 = 42
    func uniform() -> Double {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (Double(state >> 11) + 0.5) * 0x1p-53
    }
    func normal() -> Double { (-2 * log(uniform())).squareRoot() * cos(2 * Double.pi * uniform()) }
    for count in [3, 5] {
      var held = 0
      for _ in 0..<20_000 {
        let estimate = try #require(Estimate((0..<count).map { _ in 0.3 + 0.1 * normal() }))
        if try #require(estimate.interval).contains(0.3) { held += 1 }
      }
      // Four standard deviations of a binomial of 20,000 draws.
      #expect(abs(held - 19_000) < 124, "\(held) of 20,000 with \(count) values")
    }
  }

  @Test func fewValuesHaveNoInterval() {
    #expect(Estimate([]) == nil)
    #expect(Estimate([0.25])?.interval == nil)
    #expect(Estimate([0.25])?.mean == 0.25)
    #expect(Estimate([0.5, 0.5])?.interval == 0.5...0.5)
  }

  @Test func differencesArePaired() throws {
    // Far apart between seeds, close within: the interval is that of the differences.
    let (left, right) = ([1: 0.9, 2: 0.5, 3: 0.12], [1: 0.8, 2: 0.4, 3: 0.0, 4: 1.0])
    let estimate = try #require(Estimate(left, minus: right))
    #expect(estimate.count == 3)
    #expect(abs(estimate.mean - 0.32 / 3) < 1e-12)
    let interval = try #require(estimate.interval)
    // scipy.stats.t.interval(0.95, 2, mean, sem) of [0.1, 0.1, 0.12]; the table has three decimals.
    #expect(abs(interval.lowerBound - 0.077_982) < 1e-5 && abs(interval.upperBound - 0.135_352) < 1e-5)
    #expect(Estimate(left, minus: [4: 1.0]) == nil)
  }

  @Test func theRatioIsNearestToTheAim() throws {
    let choice = try #require(RatioChoice([0.5: 0.86, 0.25: 0.73, 0.125: 0.34, 0.0625: 0.02]))
    #expect(choice.ratio == 0.125 && choice.isInRange)
    let tie = try #require(RatioChoice([0.5: 0.55, 0.25: 0.35]))
    #expect(tie.ratio == 0.5)
    let far = try #require(RatioChoice([0.5: 0.9, 0.25: 0.1]))
    #expect(far.ratio == 0.25 && !far.isInRange)
    #expect(RatioChoice([:]) == nil)
  }
}
