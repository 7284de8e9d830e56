import Glibc
import Kernels
import TestSupport
import Testing

private typealias Attend = (
  UnsafePointer<lagoon_query_rows>, UnsafePointer<lagoon_key_run>, Int, UInt8, UnsafeMutablePointer<Float>
) -> Void

/// With a hint at what comes next, which changes nothing.
private func attend(
  _ rows: UnsafePointer<lagoon_query_rows>, _ runs: UnsafePointer<lagoon_key_run>, _ count: Int,
  _ type: UInt8,
  _ scratch: UnsafeMutablePointer<Float>
) {
  lagoon_attend(rows, runs, count, runs, count, type, scratch)
}

/// The types of queries, and of keys and values.
private struct Types: CustomStringConvertible {
  let queries: UInt8
  let keys: UInt8

  var description: String { "queries of type \(queries), keys of type \(keys)" }

  /// What a CPU may have an instruction for.
  static let narrow = Types(queries: UInt8(LAGOON_BF16), keys: UInt8(LAGOON_BF16))
  static let bf16 = [Types(queries: UInt8(LAGOON_F32), keys: UInt8(LAGOON_BF16)), narrow]
  static let all = types.map { Types(queries: UInt8(LAGOON_F32), keys: $0.code) } + [narrow]
}

/// One call's input: queries, keys and values of one KV head.
private struct Case {
  let headDim: Int
  let group: Int
  let types: Types
  let scale: Float
  var queries: [Float]  // [rows, headDim], as their type rounds them
  var keys: [Float]  // [count, headDim], as their type rounds them
  var values: [Float]
  var firstQueryPosition = 0
  var firstPosition = Int64.min

  var rows: Int { queries.count / headDim }
  var count: Int { keys.count / headDim }

  init(headDim: Int, group: Int, queries: Int, keys: Int, types: Types, seed: UInt64, scale: Float = 1) {
    var random = SeededGenerator(seed)
    self.headDim = headDim
    self.group = group
    self.types = types
    self.scale = scale / Float(headDim).squareRoot()
    self.queries = rounded(random.floats(queries * group * headDim), to: types.queries)
    self.keys = rounded(random.floats(keys * headDim, scale: 2), to: types.keys)
    self.values = rounded(random.floats(keys * headDim), to: types.keys)
  }

  func visible(row: Int) -> Int {
    if firstPosition == .min { return count }
    return max(0, min(count, firstQueryPosition + row / group - Int(firstPosition) + 1))
  }

  /// Rows `range` alone through a kernel: out [rows, headDim] and log-sum-exp [rows].
  ///
  /// - Parameter lengths: of the runs that the keys come in; the last one again and again.
  func run(
    _ kernel: Attend, rows range: Range<Int>? = nil, lengths: [Int] = [.max]
  ) -> (out: [Float], lse: [Float]) {
    let range = range ?? 0..<rows
    precondition(range.lowerBound % group == 0)
    let padded = lagoon_padded_dim(headDim)
    // 64-byte aligned, as the kernel's comment asks of the rows' memory.
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: 4
        * (2 * range.count * padded + 2 * range.count + lagoon_attention_scratch(headDim, range.count) + 64),
      alignment: 64)
    defer { memory.deallocate() }
    let packed = memory.bindMemory(to: Float.self, capacity: 2 * range.count * padded)
    packed.initialize(repeating: 0, count: 2 * range.count * padded)
    for (i, row) in range.enumerated() {
      for c in 0..<headDim { packed[i * padded + c] = queries[row * headDim + c] }
    }
    let narrow = UnsafeMutableRawPointer.allocate(byteCount: 2 * range.count * padded, alignment: 64)
      .bindMemory(to: UInt16.self, capacity: range.count * padded)
    defer { narrow.deallocate() }
    lagoon_convert_scalar(packed, UInt8(LAGOON_F32), narrow, UInt8(LAGOON_BF16), range.count * padded)
    let weighted = packed + range.count * padded
    let scratch = weighted + range.count * padded
    scratch.initialize(repeating: .nan, count: lagoon_attention_scratch(headDim, range.count))
    var maximum = [Float](repeating: -.infinity, count: range.count)
    var sum = [Float](repeating: 0, count: range.count)
    let k = Elements(keys, as: types.keys, misalignedBy: 1)
    let v = Elements(values, as: types.keys, misalignedBy: 3)
    maximum.withUnsafeMutableBufferPointer { maximum in
      sum.withUnsafeMutableBufferPointer { sum in
        var rows = lagoon_query_rows(
          queries: packed, weighted: weighted, maximum: maximum.baseAddress, sum: sum.baseAddress,
          rows: range.count, group: group, headDim: headDim,
          firstPosition: Int64(firstQueryPosition + range.lowerBound / group), scale: scale,
          narrow: types.queries == UInt8(LAGOON_BF16) ? UnsafePointer(narrow) : nil)
        let rowBytes = headDim * byteCount(of: types.keys)
        let runs = runs(lengths).map { cut in
          lagoon_key_run(
            keys: k.base + cut.lowerBound * rowBytes, values: v.base + cut.lowerBound * rowBytes,
            count: cut.count,
            firstPosition: firstPosition == .min ? .min : firstPosition + Int64(cut.lowerBound))
        }
        kernel(&rows, runs, runs.count, types.keys, scratch)
      }
    }
    var out: [Float] = []
    for i in 0..<range.count {
      for c in 0..<headDim { out.append(sum[i] > 0 ? weighted[i * padded + c] / sum[i] : 0) }
    }
    return (out, zip(maximum, sum).map { $0 + log($1) })
  }

  private func runs(_ lengths: [Int]) -> [Range<Int>] {
    var cuts: [Range<Int>] = []
    while case let start = cuts.last?.upperBound ?? 0, start < count {
      let length = lengths[min(cuts.count, lengths.count - 1)]
      cuts.append(start..<start + min(length, count - start))
    }
    return cuts
  }

  /// The same in double precision.
  func reference() -> (out: [Double], lse: [Double]) {
    var out = [Double](repeating: 0, count: rows * headDim)
    var lse = [Double](repeating: -.infinity, count: rows)
    for row in 0..<rows {
      let logits = (0..<visible(row: row)).map { r in
        (0..<headDim).reduce(0.0) {
          $0 + Double(scale) * Double(queries[row * headDim + $1]) * Double(keys[r * headDim + $1])
        }
      }
      guard let largest = logits.max() else { continue }
      let weights = logits.map { exp($0 - largest) }
      let sum = weights.reduce(0, +)
      lse[row] = largest + log(sum)
      for (r, weight) in weights.enumerated() {
        for c in 0..<headDim { out[row * headDim + c] += weight / sum * Double(values[r * headDim + c]) }
      }
    }
    return (out, lse)
  }

  func expectAccurate(_ name: String, _ attend: Attend, tolerance: Double = 2e-6) {
    let got = run(attend)
    let expected = reference()
    let place = "\(name), \(types), headDim \(headDim), \(rows) rows in groups of \(group), \(count) keys"
    for (a, b) in zip(got.out, expected.out) where !(abs(Double(a) - b) <= tolerance) {
      Issue.record("\(place): out \(a), not \(b)")
      return
    }
    for (a, b) in zip(got.lse, expected.lse) where !(Double(a) == b || abs(Double(a) - b) <= tolerance) {
      Issue.record("\(place): log-sum-exp \(a), not \(b)")
      return
    }
  }
}

@Suite struct AttentionTests {
  @Test(arguments: [1, 7, 16, 64, 80, 96, 128, 256])
  func attentionIsAccurate(headDim: Int) {
    for types in Types.all {
      for (group, queries, keys) in [
        (1, 1, 1), (1, 1, 64), (2, 1, 63), (3, 2, 65), (4, 3, 100), (4, 1, 200), (8, 5, 131),
      ] {
        let input = Case(
          headDim: headDim, group: group, queries: queries, keys: keys, types: types, seed: UInt64(keys))
        input.expectAccurate("scalar", lagoon_attend_scalar, tolerance: 4e-6)
        onEveryTarget { input.expectAccurate($0, attend) }
      }
    }
  }

  @Test func queriesSeeKeysUpToTheirPosition() {
    for types in Types.bf16 {
      for first in [-70, -3, 0, 5, 63, 64, 90, 200] {
        var input = Case(headDim: 32, group: 2, queries: 70, keys: 130, types: types, seed: 3)
        input.firstQueryPosition = 100
        input.firstPosition = Int64(100 + first)
        input.expectAccurate("scalar, first \(first)", lagoon_attend_scalar, tolerance: 4e-6)
        onEveryTarget { input.expectAccurate("\($0), first \(first)", attend) }
      }
    }
  }

  /// What makes a step's output independent of how a document is cut into calls.
  @Test func aRowsBitsDoNotDependOnTheOtherRows() {
    for types in Types.all {
      for headDim in [7, 64, 80, 128, 160] {
        for first in [Int64.min, 30] {
          var input = Case(headDim: headDim, group: 3, queries: 11, keys: 150, types: types, seed: 8)
          input.firstQueryPosition = 100
          input.firstPosition = first
          onEveryTarget { target in
            let whole = input.run(attend)
            // 33 rows together; 3, and 12, by themselves: many, few, and so few that nothing is unpacked.
            let ranges = (0..<11).map { $0 * 3..<$0 * 3 + 3 } + [0..<12, 9..<21, 21..<33]
            for range in ranges {
              let alone = input.run(attend, rows: range)
              let place = "\(target), \(types), headDim \(headDim), rows \(range)"
              #expect(bits(alone.lse) == bits(Array(whole.lse[range])), "\(place)")
              #expect(
                bits(alone.out)
                  == bits(Array(whole.out[range.lowerBound * headDim..<range.upperBound * headDim])),
                "\(place)")
            }
          }
        }
      }
    }
  }

  /// Rows lie in slabs of 8 or 16, of which the last is not full yet when they are first attended to; that must not show.
  @Test(arguments: [Int64.min, 90]) func bitsDoNotDependOnTheRunsThatKeysComeIn(firstPosition: Int64) {
    for types in Types.all {
      for headDim in [7, 128] {
        var input = Case(headDim: headDim, group: 4, queries: 3, keys: 333, types: types, seed: 9)
        input.firstPosition = firstPosition
        input.firstQueryPosition = 390
        onEveryTarget { target in
          let whole = input.run(attend)
          for lengths in [[16], [8], [1], [5, 64, 200, 3]] {
            let cut = input.run(attend, lengths: lengths)
            let place = "\(target), \(types), headDim \(headDim), runs of \(lengths)"
            #expect(bits(cut.lse) == bits(whole.lse), "\(place)")
            #expect(bits(cut.out) == bits(whole.out), "\(place)")
          }
        }
      }
    }
  }

  /// A weight beside one of 1, however small: as exact as the exponential says, and 0 where it ends.
  @Test func weightsAreExactDownToTheSmallest() {
    let f32 = Types(queries: UInt8(LAGOON_F32), keys: UInt8(LAGOON_F32))
    // Logits are 0 and -x, values 0 and 1.
    var input = Case(headDim: 16, group: 1, queries: 900, keys: 2, types: f32, seed: 1, scale: 4)
    let exponents = (0..<900).map { Float($0) * 0.1 }
    input.queries = exponents.flatMap { x in (0..<16).map { $0 == 0 ? x : 0 } }
    input.keys = (0..<32).map { $0 == 16 ? -1 : 0 }
    input.values = (0..<32).map { $0 < 16 ? 0 : 1 }
    onEveryTarget { target in
      let out = input.run(attend).out
      for (row, x) in exponents.enumerated() {
        let weight = exp(-Double(x))
        let expected = x > 87 ? 0 : weight / (1 + weight)
        #expect(abs(Double(out[row * 16]) - expected) <= 6e-7 * expected, "\(target), \(x)")
      }
    }
  }

  @Test func largeLogitsDoNotOverflow() {
    for types in [Types.all[0], .narrow] {
      // Logits of some 1e5: the largest one decides, and exp(logit) alone would be infinite.
      let input = Case(headDim: 64, group: 2, queries: 12, keys: 100, types: types, seed: 4, scale: 1e5)
      // f32 logits of 1e5 are 0.01 apart, so only that the result is a mean of values is checked here.
      onEveryTarget { target in
        let got = input.run(attend)
        let reference = input.reference()
        let limit = input.values.map(abs).max() ?? 0
        #expect(got.out.allSatisfy { abs($0) <= limit * 1.0001 }, "\(target)")
        for (a, b) in zip(got.lse, reference.lse) {
          #expect(abs(Double(a) - b) <= 1e-6 * abs(b), "\(target), \(types)")
        }
      }
      // Logits that overflow f32 altogether still give numbers.
      var extreme = input
      extreme.queries = rounded(extreme.queries.map { $0 * 1e20 }, to: types.queries)
      extreme.keys = rounded(extreme.keys.map { $0 * 1e20 }, to: types.keys)
      onEveryTarget { target in
        #expect(extreme.run(attend).out.allSatisfy { $0.isFinite }, "\(target), \(types)")
      }
    }
  }
}
