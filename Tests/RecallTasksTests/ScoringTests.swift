import RecallTasks
import Testing

@Suite struct ScoringTests {
  private func score(_ scoring: RecallScoring, _ answer: String, _ expected: [String]) -> RecallScore {
    scoring.score(Array(answer.utf8), expected: expected)
  }

  @Test func beginningsAreWhole() {
    #expect(score(.beginning, "58213", ["58213"]) == RecallScore(right: 1, asked: 1, share: 1))
    #expect(score(.beginning, "58213] the", ["58213"]).right == 1)
    for wrong in ["5821", "58214", "158213", "", " 58213"] {
      #expect(score(.beginning, wrong, ["58213"]) == RecallScore(right: 0, asked: 1, share: 0), "\(wrong)")
    }
  }

  @Test func longestRunsCountInPart() {
    #expect(score(.longestRun, "It is 123456.", ["123456"]) == RecallScore(right: 1, asked: 1, share: 1))
    #expect(score(.longestRun, "12 456 12", ["123456"]) == RecallScore(right: 0, asked: 1, share: 0.5))
    #expect(score(.longestRun, "1 2 3 4 5 6", ["123456"]).share == 1.0 / 6)
    #expect(score(.longestRun, "abc", ["123456"]).share == 0)
    #expect(score(.longestRun, "", ["12"]).share == 0)
    // A run may begin again within itself.
    #expect(score(.longestRun, "1121122", ["11211"]).share == 1)
  }

  /// Against trying every run.
  @Test func longestRunsAreTheLongest() {
    var random = TaskRandom(seed: 5, index: 0)
    for _ in 0..<300 {
      let expected = random.letters(1 + random.below(9), from: "a").map { $0 < "n" ? "a" : "b" }.joined()
      let answer = random.letters(random.below(14), from: "a").map { $0 < "n" ? "a" : "b" }.joined()
      var longest = 0
      for first in expected.indices {
        for last in expected[first...].indices where answer.contains(expected[first...last]) {
          longest = max(longest, expected.distance(from: first, to: last) + 1)
        }
      }
      let share = score(.longestRun, answer, [expected]).share
      #expect(share == Double(longest) / Double(expected.count), "\(expected) in \(answer)")
    }
  }

  @Test func mentionsCountWhateverTheirCase() {
    let names = ["ABCDE", "VWXYZ", "KLMNO", "FGHIJ"]
    #expect(score(.mentions, "vwxyz, and KLMNO", names) == RecallScore(right: 2, asked: 4, share: 0.5))
    #expect(score(.mentions, "ABCDVWXY", names).right == 0)
    #expect(score(.mentions, "", names).share == 0)
  }

  /// Wilson's bounds are the roots of (p − k/n)² = z²·p(1 − p)/n: found by bisection in another program.
  @Test func intervalsAreWilsons() {
    func check(_ right: Int, _ trials: Int, _ low: Double, _ high: Double) {
      let proportion = Proportion(right, of: trials)
      #expect(abs(proportion.low - low) < 1e-6 && abs(proportion.high - high) < 1e-6, "\(proportion)")
      #expect(proportion.value == (trials == 0 ? 0 : Double(right) / Double(trials)))
    }
    check(0, 0, 0, 1)
    check(0, 10, 0, 0.2775328)
    check(8, 10, 0.4901625, 0.9433178)
    check(10, 10, 0.7224672, 1)
    check(117, 128, 0.8526591, 0.9513369)
  }
}
