import Kernels
import TestSupport
import Testing

@Suite struct AttentionBackwardTests {
  /// The oracle itself: its gradients are those of its loss, dLogSumExp included.
  @Test func oracleMatchesFiniteDifferences() {
    var input = BackwardCase(headDim: 5, group: 2, queries: 4, keys: 7, type: UInt8(LAGOON_F32), seed: 5)
    input.firstQueryPosition = 3
    input.firstPosition = 1  // the last query sees 6 of 7 keys
    let reference = BackwardReference(input)
    let step = 1e-5
    func check(_ values: [Float], _ gradient: [Double], _ loss: ([Double]) -> Double) {
      for i in values.indices {
        var moved = values.map(Double.init)
        moved[i] += step
        let above = loss(moved)
        moved[i] -= 2 * step
        let slope = (above - loss(moved)) / (2 * step)
        #expect(abs(slope - gradient[i]) <= 1e-8 * (1 + abs(slope)))
      }
    }
    check(input.queries, reference.gradients.dQueries) {
      BackwardReference(input, queries: $0, lossOnly: true).loss
    }
    check(input.keys, reference.gradients.dKeys) { BackwardReference(input, keys: $0, lossOnly: true).loss }
    check(input.values, reference.gradients.dValues) {
      BackwardReference(input, values: $0, lossOnly: true).loss
    }
    #expect(reference.gradients.dKeys.suffix(5) == [0, 0, 0, 0, 0])
  }

  @Test(arguments: [1, 2, 7, 16, 17, 31, 64, 80, 96, 128, 256])
  func gradientsAreAccurate(headDim: Int) {
    for (type, narrow) in BackwardCase.kinds {
      for (group, queries, keys) in [
        (1, 1, 1), (1, 1, 64), (2, 3, 63), (3, 16, 65), (4, 13, 150), (5, 1, 16), (6, 9, 17), (7, 14, 31),
        (8, 7, 131),
      ] {
        let input = BackwardCase(
          headDim: headDim, group: group, queries: queries, keys: keys, type: type, seed: UInt64(keys),
          narrow: narrow)
        let reference = BackwardReference(input)
        input.expectAccurate(
          input.run(attendBackwardScalar, forward: reference), reference, "scalar")
        onEveryTarget {
          input.expectAccurate(input.run(attendBackward, forward: reference), reference, $0)
        }
      }
    }
  }

  @Test func queriesSeeKeysUpToTheirPosition() {
    for first in [-150, -70, -3, 0, 5, 48, 63, 64, 69, 70, 90, 200] {
      var input = BackwardCase(
        headDim: 24, group: 2, queries: 70, keys: 130, type: UInt8(LAGOON_BF16), seed: 3)
      input.firstQueryPosition = 100
      input.firstPosition = Int64(100 + first)
      let reference = BackwardReference(input)
      input.expectAccurate(
        input.run(attendBackwardScalar, forward: reference), reference, "scalar, first \(first)")
      onEveryTarget {
        input.expectAccurate(
          input.run(attendBackward, forward: reference), reference, "\($0), first \(first)")
      }
    }
  }

  /// Keys in parts, given the log-sum-exp of the whole, add up to the whole, and each key's gradients do so bit
  /// for bit.
  @Test func aKeysBitsDoNotDependOnTheOtherKeys() {
    for (type, narrow) in BackwardCase.kinds {
      for (headDim, first) in [(7, Int64.min), (64, 80), (80, .min), (32, 110)] {
        var input = BackwardCase(
          headDim: headDim, group: 3, queries: 21, keys: 150, type: type, seed: UInt64(headDim),
          narrow: narrow)
        input.firstQueryPosition = 100
        input.firstPosition = first
        let reference = BackwardReference(input)
        onEveryTarget { target in
          let place = "\(target), type \(type), narrow \(narrow), headDim \(headDim)"
          let whole = input.run(attendBackward, forward: reference)
          for cuts in [[1], [63, 64], [16, 32, 100], [149]] {
            var parts = Gradients<Float>(dQueries: [], dKeys: [], dValues: [])
            let edges = [0] + cuts + [150]
            for (start, end) in zip(edges, edges.dropFirst()) {
              let zeros = [Float](repeating: 0, count: (end - start) * headDim)
              let part = input.run(
                attendBackward, forward: reference, keys: start..<end,
                start: Gradients(
                  dQueries: parts.dQueries.isEmpty ? whole.dQueries.map { _ in 0 } : parts.dQueries,
                  dKeys: zeros, dValues: zeros))
              parts.dQueries = part.dQueries
              parts.dKeys += part.dKeys
              parts.dValues += part.dValues
            }
            #expect(bits(parts.dKeys) == bits(whole.dKeys), "\(place), cuts \(cuts)")
            #expect(bits(parts.dValues) == bits(whole.dValues), "\(place), cuts \(cuts)")
            input.expectAccurate(parts, reference, "\(place), cuts \(cuts)")
          }
        }
      }
    }
  }

  @Test func aQuerysBitsDoNotDependOnTheOtherQueries() {
    for (headDim, first) in [(7, Int64.min), (64, 30), (80, 95)] {
      var input = BackwardCase(
        headDim: headDim, group: 3, queries: 37, keys: 150, type: UInt8(LAGOON_F32), seed: 8)
      input.firstQueryPosition = 100
      input.firstPosition = first
      let reference = BackwardReference(input)
      onEveryTarget { target in
        let whole = input.run(attendBackward, forward: reference)
        for token in 0..<37 {
          let range = token * 3..<token * 3 + 3
          let alone = input.run(attendBackward, forward: reference, rows: range)
          #expect(
            bits(alone.dQueries)
              == bits(Array(whole.dQueries[range.lowerBound * headDim..<range.upperBound * headDim])),
            "\(target), headDim \(headDim), token \(token)")
        }
      }
    }
  }

  /// Without a place for dKeys and dValues, dQueries have the same bits.
  @Test func gradientsOfKeysMayBeLeftOut() {
    for (headDim, first) in [(7, Int64.min), (64, 30), (80, 95)] {
      var input = BackwardCase(
        headDim: headDim, group: 3, queries: 37, keys: 150, type: UInt8(LAGOON_BF16), seed: 12)
      input.firstQueryPosition = 100
      input.firstPosition = first
      let reference = BackwardReference(input)
      func check(_ place: String, _ kernel: AttendBackward, _ leavingOut: AttendBackward) {
        let whole = input.run(kernel, forward: reference)
        let part = input.run(leavingOut, forward: reference)
        #expect(bits(part.dQueries) == bits(whole.dQueries), "\(place), headDim \(headDim)")
        #expect(part.dKeys.allSatisfy { $0 == 0 } && part.dValues.allSatisfy { $0 == 0 })
        #expect(whole.dKeys.contains { $0 != 0 })
      }
      check("scalar", attendBackwardScalar) {
        rows, keys, values, type, count, first, _, _, scratch in
        attendBackwardScalar(rows, keys, values, type, count, first, nil, nil, scratch)
      }
      onEveryTarget {
        check($0, attendBackward) { rows, keys, values, type, count, first, _, _, scratch in
          attendBackward(rows, keys, values, type, count, first, nil, nil, scratch)
        }
      }
    }
  }

  /// Where keys that every query sees are cut into runs does not even change the bits.
  @Test(arguments: [1, 5, 16, 64, 100]) func runsDoNotMatter(length: Int) {
    for (type, narrow) in BackwardCase.kinds {
      // 96 channels: what may be multiplied as bf16.
      for headDim in [40, 96] {
        let input = BackwardCase(
          headDim: headDim, group: 4, queries: 13, keys: 300, type: type, seed: 3, narrow: narrow)
        let reference = BackwardReference(input)
        onEveryTarget { target in
          let whole = input.run(inRuns(of: .max, lagoon_attend_backward), forward: reference)
          let cut = input.run(inRuns(of: length, lagoon_attend_backward), forward: reference)
          let place = "\(target), type \(type), narrow \(narrow), headDim \(headDim)"
          #expect(bits(whole.dQueries) == bits(cut.dQueries), "\(place)")
          #expect(
            bits(whole.dKeys) == bits(cut.dKeys) && bits(whole.dValues) == bits(cut.dValues), "\(place)")
        }
      }
    }
  }

  @Test func gradientsAreAddedToWhatIsThere() {
    var random = SeededGenerator(9)
    let input = BackwardCase(headDim: 20, group: 2, queries: 5, keys: 70, type: UInt8(LAGOON_F16), seed: 9)
    let reference = BackwardReference(input)
    let start = Gradients(
      dQueries: random.floats(200), dKeys: random.floats(1400), dValues: random.floats(1400))
    func check(_ name: String, _ backward: AttendBackward) {
      let got = input.run(backward, forward: reference, start: start)
      input.expectAccurate(got, reference, start: start, name)
    }
    check("scalar", attendBackwardScalar)
    onEveryTarget { check($0, attendBackward) }
  }

  /// No gradient comes in: none goes out, exactly.
  @Test func zeroGivesZero() {
    var input = BackwardCase(headDim: 33, group: 2, queries: 30, keys: 90, type: UInt8(LAGOON_BF16), seed: 2)
    input.dOut = input.dOut.map { _ in 0 }
    input.dLogSumExp = input.dLogSumExp.map { _ in 0 }
    let reference = BackwardReference(input)
    onEveryTarget { target in
      let got = input.run(attendBackward, forward: reference)
      #expect((got.dQueries + got.dKeys + got.dValues).allSatisfy { $0 == 0 }, "\(target)")
    }
  }

  /// Rows whose log-sum-exp is -infinity add nothing, even where the call would show them keys.
  @Test func rowsThatSawNothingAddNothing() {
    var input = BackwardCase(headDim: 16, group: 1, queries: 60, keys: 40, type: UInt8(LAGOON_F32), seed: 6)
    input.unseeing = 20..<50
    let reference = BackwardReference(input)
    var told = reference
    told.replaceForward { row, lse, delta in (20..<50).contains(row) ? (-.infinity, .nan) : (lse, delta) }
    #expect(told.logSumExp == reference.logSumExp)
    input.expectAccurate(input.run(attendBackwardScalar, forward: told), reference, "scalar")
    onEveryTarget {
      let got = input.run(attendBackward, forward: told)
      input.expectAccurate(got, reference, $0)
      #expect(got.dQueries[320..<800].allSatisfy { $0 == 0 }, "\($0)")
    }
  }

  /// A log-sum-exp that is too low, by rounding or more, gives weights of 1, and logits beyond f32 give
  /// numbers.
  @Test func weightsAreAtMostOne() {
    let input = BackwardCase(headDim: 12, group: 1, queries: 3, keys: 50, type: UInt8(LAGOON_F32), seed: 4)
    var low = BackwardReference(input)
    low.replaceForward { _, lse, delta in (lse - 1000, delta) }
    // Every weight is 1, so every dValue is the sum of dOut.
    var sums = [Float](repeating: 0, count: 12)
    for i in input.dOut.indices { sums[i % 12] += input.dOut[i] }
    let expected = (0..<50).flatMap { _ in sums }
    #expect(input.run(attendBackwardScalar, forward: low).dValues == expected)
    onEveryTarget { #expect(input.run(attendBackward, forward: low).dValues == expected, "\($0)") }
    var extreme = input
    extreme.queries = extreme.queries.map { $0 * 1e20 }
    extreme.keys = extreme.keys.map { $0 * 1e10 }
    for scale in [Float(1), 1e10] {
      extreme.queries = extreme.queries.map { $0 * scale }
      onEveryTarget { target in
        let got = extreme.run(attendBackward, forward: BackwardReference(extreme))
        #expect((got.dQueries + got.dKeys + got.dValues).allSatisfy { $0.isFinite }, "\(target), \(scale)")
      }
    }
  }
}
