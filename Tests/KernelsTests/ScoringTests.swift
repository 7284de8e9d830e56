import Glibc
import Kernels
import TestSupport
import Testing

/// Scores decide which tokens are kept, so they are the same bits on every target, and accurate.
@Suite struct ScoringTests {
  static let headDims = [1, 2, 7, 15, 16, 17, 31, 32, 64, 80, 96, 128, 257, 1024]

  /// Rows whose channels differ in scale: ordinary, tiny, huge (up to f32's last power), constant, negative zero.
  private func rows(_ count: Int, _ headDim: Int, seed: UInt64) -> [Float] {
    var random = SeededGenerator(seed)
    var values = random.floats(count * headDim)
    for t in 0..<count {
      for c in 0..<headDim {
        switch c % 11 {
        case 3: values[t * headDim + c] *= .leastNormalMagnitude / 8
        case 5: values[t * headDim + c] *= 8e37
        case 7: values[t * headDim + c] = 1.5
        case 9: values[t * headDim + c] = t % 2 == 0 ? 0 : -0.0
        default: values[t * headDim + c] *= Float(1 + c % 5)
        }
      }
    }
    return values.map { $0.isFinite ? $0 : 3e38 }
  }

  @Test(arguments: headDims)
  func everyTargetGivesTheScalarTwinsBits(headDim: Int) {
    for type in types {
      for (count, offset) in [(1, 0), (2, 1), (9, 2), (37, 3)] {
        // f16 can't hold the huge channels; what it makes of them is infinite and refused before scoring.
        let limit: Float = type.code == UInt8(LAGOON_F16) ? 6e4 : 3e38
        let partition = rows(count, headDim, seed: 1).map { max(-limit, min(limit, $0)) }
        let reference = rows(count, headDim, seed: 2).map { max(-limit, min(limit, $0)) }
        let x = Elements(partition, as: type.code, misalignedBy: offset)
        let y = Elements(reference, as: type.code, misalignedBy: offset)

        var low = [Float](repeating: .infinity, count: headDim)
        var high = [Float](repeating: -.infinity, count: headDim)
        var deviations = [Float](repeating: 0, count: count)
        var sums = [Float](repeating: 0, count: count)
        lagoon_channel_range_scalar(
          [lagoon_row_run(rows: y.base, count: count)], 1, type.code, headDim, &low, &high)
        let whole = [lagoon_row_run(rows: x.base, count: count)]
        lagoon_normalised_std_scalar(whole, 1, type.code, headDim, low, high, &deviations)
        lagoon_square_sums_scalar(x.base, type.code, count, headDim, &sums)
        #expect(deviations.allSatisfy { $0.isFinite })

        onEveryTarget { target in
          let place = "\(target), type \(type.code), headDim \(headDim), \(count) rows"
          var ownLow = [Float](repeating: .infinity, count: headDim)
          var ownHigh = [Float](repeating: -.infinity, count: headDim)
          // In several runs, as a partition that spans slabs is.
          let half = count / 2
          func runs(_ base: UnsafeRawPointer) -> [lagoon_row_run] {
            [0..<half, half..<half, half..<count].map {
              lagoon_row_run(rows: base + $0.lowerBound * headDim * type.bytes, count: $0.count)
            }
          }
          lagoon_channel_range(runs(y.base), 3, type.code, headDim, &ownLow, &ownHigh)
          #expect(bits(ownLow) == bits(low), "\(place)")
          #expect(bits(ownHigh) == bits(high), "\(place)")
          var own = [Float](repeating: 0, count: count)
          lagoon_normalised_std(
            runs(x.base), 3, runs(y.base), target.count % 4, type.code, headDim, low, high, &own)
          #expect(bits(own) == bits(deviations), "\(place)")
          lagoon_square_sums(x.base, type.code, count, headDim, &own)
          #expect(bits(own) == bits(sums), "\(place)")
        }
      }
    }
  }

  @Test(arguments: headDims)
  func deviationsAreAccurate(headDim: Int) {
    let count = 23
    var random = SeededGenerator(5)
    for type in types {
      let partition = rounded(random.floats(count * headDim), to: type.code)
      let reference = rounded(random.floats(count * headDim), to: type.code)
      let x = Elements(partition, as: type.code)
      let y = Elements(reference, as: type.code)
      var low = [Float](repeating: .infinity, count: headDim)
      var high = [Float](repeating: -.infinity, count: headDim)
      var deviations = [Float](repeating: 0, count: count)
      lagoon_channel_range(
        [lagoon_row_run(rows: y.base, count: count)], 1, type.code, headDim, &low, &high)
      let whole = [lagoon_row_run(rows: x.base, count: count)]
      lagoon_normalised_std(whole, 1, nil, 0, type.code, headDim, low, high, &deviations)
      for t in 0..<count {
        let normalised = (0..<headDim).map { c -> Double in
          let column = (0..<count).map { Double(reference[$0 * headDim + c]) }
          let least = column.min() ?? 0
          let range = (column.max() ?? 0) - least
          return range == 0 ? 0 : (Double(partition[t * headDim + c]) - least) / range
        }
        let mean = normalised.reduce(0, +) / Double(headDim)
        let squares = normalised.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        let expected = headDim == 1 ? 0 : (squares / Double(headDim - 1)).squareRoot()
        #expect(
          abs(Double(deviations[t]) - expected) <= 1e-6 * max(expected, 0.1),
          "type \(type.code), headDim \(headDim), row \(t)")
      }
    }
  }

  /// The order of summation is part of the format: a change of it is a change of kept sets.
  @Test func sumsFollowTheDefinedTree() {
    var random = SeededGenerator(9)
    let headDim = 501
    let row = random.floats(headDim)
    var lanes = [Float](repeating: 0, count: 16)
    for (c, x) in row.enumerated() { lanes[c % 16] += x * x }
    for half in [8, 4, 2, 1] {
      for i in 0..<half { lanes[i] += lanes[i + half] }
    }
    var sum: Float = 0
    lagoon_square_sums_scalar(row, UInt8(LAGOON_F32), 1, headDim, &sum)
    #expect(sum.bitPattern == lanes[0].bitPattern)
    #expect(sum.bitPattern != row.reduce(0) { $0 + $1 * $1 }.bitPattern, "the case tells orders apart")
  }

  @Test(arguments: [0, 1, 2, 15, 16, 17, 64, 100, 1000, 20_000])
  func softmaxGivesTheScalarTwinsBitsAndIsAccurate(count: Int) {
    for scale in [Float(0.1), 1, 40, 1e15] {
      var random = SeededGenerator(UInt64(count))
      let x = random.floats(count, scale: scale)
      let start = random.floats(count, scale: 0.01)
      var scratch = x
      var expected = start
      lagoon_add_softmax_scalar(&scratch, count, 2.5, &expected)
      let exponentials = scratch
      onEveryTarget { target in
        var scratch = x
        var scores = start
        lagoon_add_softmax(&scratch, count, 2.5, &scores)
        // Sums and additions hide last bits, so what the kernel leaves in its input is compared too.
        #expect(bits(scratch) == bits(exponentials), "\(target), \(count) values of scale \(scale)")
        #expect(bits(scores) == bits(expected), "\(target), \(count) values of scale \(scale)")
      }
      let largest = Double(x.max() ?? 0)
      let sum = x.reduce(0) { $0 + exp(Double($1) - largest) }
      for i in 0..<count {
        let share = exp(Double(x[i]) - largest) / sum
        #expect(abs(Double(expected[i]) - (Double(start[i]) + 2.5 * share)) <= 3e-7 * (share * 2.5 + 0.05))
      }
    }
  }
}
