import Foundation
import Testing
import Transformer

@Suite struct SamplerTests {
  @Test func greedyTakesTheLargestAndTheLowerIdOnTies() throws {
    var sampler = try Sampler()
    #expect(sampler.next([0, 3, -1, 3] as [Float]) == 1)
    #expect(sampler.next([-5] as [Float]) == 0)
  }

  /// Draws follow softmax(logits / temperature).
  @Test(arguments: [0.5, 1.0, 2.0]) func frequenciesFollowTheProbabilities(_ temperature: Double) throws {
    let logits: [Float] = [0, 1, 2, -1]
    var sampler = try Sampler(temperature: temperature, seed: 5)
    var counts = [Int](repeating: 0, count: 4)
    let draws = 40_000
    for _ in 0..<draws { counts[Int(sampler.next(logits))] += 1 }
    let weights = logits.map { exp(Double($0) / temperature) }
    for (count, weight) in zip(counts, weights) {
      let probability = weight / weights.reduce(0, +)
      let deviation = (probability * (1 - probability) / Double(draws)).squareRoot()
      #expect(abs(Double(count) / Double(draws) - probability) < 5 * deviation)
    }
  }

  /// The nucleus is the fewest tokens whose mass reaches top-p.
  @Test func nothingOutsideOfTheNucleusIsDrawn() throws {
    let logits: [Float] = [log(0.1), log(0.5), log(0.15), log(0.25)]
    for (topP, allowed) in [(0.3, Set<UInt32>([1])), (0.7, [1, 3]), (0.8, [1, 3, 2]), (1.0, [0, 1, 2, 3])] {
      var sampler = try Sampler(temperature: 1, topP: topP, seed: 1)
      let seen = Set((0..<2000).map { _ in sampler.next(logits) })
      #expect(seen == allowed)
    }
  }

  @Test func aSeedRepeats() throws {
    func draw(_ seed: UInt64) throws -> [UInt32] {
      var sampler = try Sampler(temperature: 1, seed: seed)
      return (0..<50).map { _ in sampler.next([0, 0, 0, 0] as [Float]) }
    }
    #expect(try draw(9) == draw(9))
    #expect(try draw(9) != draw(10))
  }

  @Test func impossibleSettingsAreRefused() {
    #expect(throws: ModelError.self) { try Sampler(temperature: -1) }
    #expect(throws: ModelError.self) { try Sampler(temperature: .nan) }
    #expect(throws: ModelError.self) { try Sampler(topP: 0) }
    #expect(throws: ModelError.self) { try Sampler(topP: 1.1) }
  }

  @Test func crossEntropyIsStable() {
    let logits: [Float] = [1000, 1001, 999]
    let expected = log(1 + exp(-1.0) + exp(-2.0))
    #expect(abs(CrossEntropy.negativeLogLikelihood(logits, target: 1) - expected) < 1e-12)
    #expect(abs(CrossEntropy.negativeLogLikelihood(logits, target: 2) - expected - 2) < 1e-12)
  }
}
