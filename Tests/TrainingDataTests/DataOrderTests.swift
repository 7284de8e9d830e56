import Foundation
import Testing
import TrainingData

@Suite struct DataOrderTests {
  @Test(arguments: [1, 2, 3, 4, 5, 16, 17, 255, 1_000, 70_000])
  func aKeyedPermutationIsOne(count: Int) {
    for key in [0, 1, 0xDEAD_BEEF] as [UInt64] {
      let permutation = KeyedPermutation(count: count, key: key)
      #expect(Set((0..<count).map { permutation($0) }) == Set(0..<count))
    }
  }

  @Test func keysGiveEveryPlaceEveryValueAlike() {
    let keys = 20_000
    for count in [2, 3, 5, 16] {
      var hits = [Int](repeating: 0, count: count * count)
      for key in 0..<keys {
        let permutation = KeyedPermutation(count: count, key: UInt64(key))
        for position in 0..<count { hits[position * count + permutation(position)] += 1 }
      }
      let expected = Double(keys) / Double(count)
      // Five standard deviations.
      #expect(hits.allSatisfy { abs(Double($0) - expected) < 5 * expected.squareRoot() }, "\(count)")
    }
  }

  private func order(seed: UInt64 = 1) -> DataOrder {
    DataOrder(
      seed: seed,
      sources: [
        (weight: 1, firstPieces: 7, laterPieces: 9), (weight: 2.5, firstPieces: 100, laterPieces: 100),
        (weight: 0.5, firstPieces: 1, laterPieces: 1),
      ])
  }

  @Test func everyEpochOfASourceIsAnotherPermutation() {
    var order = order()
    var epochs: [[Int]: [Int]] = [:]
    for _ in 0..<20_000 {
      let draw = order.next()
      epochs[[draw.source, draw.epoch], default: []].append(draw.index)
    }
    for (source, first, later) in [(0, 7, 9), (1, 100, 100), (2, 1, 1)] {
      let last = order.epoch(ofSource: source)
      #expect(last > 100)
      for epoch in 0..<last {
        #expect(epochs[[source, epoch]]?.sorted() == Array(0..<(epoch == 0 ? first : later)))
      }
    }
    #expect(Set((0..<50).map { epochs[[1, $0]] }).count == 50)
  }

  @Test func sourcesAreDrawnByTheirWeights() {
    let draws = 100_000
    var order = order(seed: 5)
    var counts = [0, 0, 0]
    for _ in 0..<draws { counts[order.next().source] += 1 }
    for (count, share) in zip(counts, [0.25, 0.625, 0.125]) {
      let deviation = (Double(draws) * share * (1 - share)).squareRoot()
      #expect(abs(Double(count) - Double(draws) * share) < 5 * deviation)
    }
  }

  @Test func extremeWeightsAreWeights() {
    var order = DataOrder(
      seed: 0,
      sources: [
        (weight: .greatestFiniteMagnitude, firstPieces: 3, laterPieces: 3),
        (weight: .greatestFiniteMagnitude, firstPieces: 3, laterPieces: 3),
        (weight: .leastNonzeroMagnitude, firstPieces: 3, laterPieces: 3),
      ])
    let sources = (0..<1_000).map { _ in order.next().source }
    #expect(Set(sources) == [0, 1])
  }

  @Test func aCopyThatWasStoredGoesOnIdentically() throws {
    var order = order(seed: .max)
    for _ in 0..<500 {
      let data = try JSONEncoder().encode(order)
      var stored = try JSONDecoder().decode(DataOrder.self, from: data)
      #expect(stored == order)
      var copy = order
      let next = (0..<20).map { _ in copy.next() }
      #expect((0..<20).map { _ in stored.next() } == next)
      #expect(stored == copy)
      _ = order.next()
    }
  }

  @Test func seedsDiffer() {
    var (one, other) = (order(seed: 1), order(seed: 2))
    #expect((0..<50).map { _ in one.next() } != (0..<50).map { _ in other.next() })
  }

  /// Made by `tools/compare/data_order.py`.
  @Test func aSeedIsTheSameOrderEverywhere() {
    var order = order(seed: 42)
    let golden: [[Int]] = [
      [0, 0, 5], [0, 0, 3], [1, 0, 18], [2, 0, 0], [0, 0, 6], [1, 0, 90], [0, 0, 2], [0, 0, 0],
      [1, 0, 10], [1, 0, 99], [1, 0, 20], [1, 0, 78], [1, 0, 74], [1, 0, 15], [1, 0, 9], [2, 1, 0],
      [1, 0, 88], [1, 0, 14], [0, 0, 4], [2, 2, 0], [0, 0, 1], [1, 0, 50], [1, 0, 24], [1, 0, 29],
      [1, 0, 91], [2, 3, 0], [1, 0, 84], [0, 1, 5], [1, 0, 72], [0, 1, 4], [1, 0, 1], [1, 0, 69],
      [1, 0, 76], [2, 4, 0], [1, 0, 86], [1, 0, 12], [1, 0, 27], [1, 0, 25], [2, 5, 0], [1, 0, 71],
    ]
    #expect((0..<golden.count).map { _ in order.next() }.map { [$0.source, $0.epoch, $0.index] } == golden)
  }

  @Test func aStateThatNoOrderCanBeInIsRefused() throws {
    let data = try JSONEncoder().encode(order())
    let text = String(decoding: data, as: UTF8.self)
    for (sound, wrong) in [
      ("\"position\":0", "\"position\":100"), ("\"epoch\":0", "\"epoch\":-1"),
      ("\"firstPieces\":7", "\"firstPieces\":0"), ("\"laterPieces\":9", "\"laterPieces\":-9"),
      ("\"drawn\":0", "\"drawn\":-1"), ("\"threshold\":9007199254740992", "\"threshold\":9007199254740991"),
    ] {
      let changed = text.replacingOccurrences(of: sound, with: wrong)
      #expect(changed != text)
      #expect(throws: DecodingError.self) {
        try JSONDecoder().decode(DataOrder.self, from: Data(changed.utf8))
      }
    }
  }
}
