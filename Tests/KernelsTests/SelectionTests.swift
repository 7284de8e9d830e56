import Kernels
import TestSupport
import Testing

/// The highest scores decide which tokens are kept: against sorting.
@Suite struct SelectionTests {
  @Test(arguments: [1, 3, 8, 17, 64, 129, 1000])
  func selectsWhatSortingSelects(count: Int) {
    var random = SeededGenerator(UInt64(count))
    let distinct = random.floats(count)
    let inputs: [(name: String, scores: [Float])] = [
      ("distinct", distinct),
      ("ties", distinct.map { ($0 * 4).rounded() }),
      ("zeros of both signs", distinct.map { $0 < 0 ? -0.0 : 0 }),
      ("huge", distinct.map { $0 * 3e38 }),
      ("tiny", distinct.map { $0 * .leastNormalMagnitude / 64 }),
      ("infinite", distinct.map { $0 > 0.5 ? .infinity : $0 < -0.5 ? -.infinity : $0 }),
      ("equal", distinct.map { _ in 0.25 }),
    ]
    for (name, scores) in inputs {
      for keep in Set([0, 1, count / 4, count / 2, count - 1, count]) {
        let sorted = scores.indices.sorted { a, b in
          scores[a] > scores[b] || (scores[a] == scores[b] && a < b)
        }
        let expected = sorted.prefix(keep).sorted().map(UInt32.init)
        #expect(select(scores, keep, lagoon_select_highest_scalar) == expected, "scalar, \(name), \(keep)")
        onEveryTarget { target in
          #expect(select(scores, keep, lagoon_select_highest) == expected, "\(target), \(name), \(keep)")
        }
      }
    }
  }

  private func select(
    _ scores: [Float], _ keep: Int,
    _ kernel: (
      UnsafePointer<Float>, Int, Int, UnsafeMutablePointer<UInt32>, UnsafeMutablePointer<Int32>
    ) -> Void
  ) -> [UInt32] {
    // One place more, which must stay as it is.
    var positions = [UInt32](repeating: .max, count: keep + 1)
    var scratch = [Int32](repeating: 0, count: scores.count)
    kernel(scores, scores.count, keep, &positions, &scratch)
    #expect(positions[keep] == .max)
    return Array(positions.prefix(keep))
  }
}
