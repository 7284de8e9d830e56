import Glibc
import Kernels
import TestSupport
import Testing

/// Rows of 8 bits: what they stand for, and attention over them.
@Suite struct EightBitTests {
  /// A block of `rows` rows made of `keys` and `values`, f32 `[rows, headDim]`.
  static func packed(_ keys: [Float], _ values: [Float], rows: Int, type: UInt8 = 0) -> [UInt8] {
    let headDim = keys.count / rows
    let k = Elements(keys, as: type, misalignedBy: 1)
    let v = Elements(values, as: type, misalignedBy: 3)
    return [UInt8](unsafeUninitializedCapacity: lagoon_q8_bytes(rows, headDim)) { bytes, count in
      count = lagoon_q8_bytes(rows, headDim)
      lagoon_q8_pack(k.base, v.base, type, rows, headDim, bytes.baseAddress)
    }
  }

  static func unpacked(_ block: [UInt8], rows: Int, headDim: Int) -> (keys: [Float], values: [Float]) {
    var keys = [Float](repeating: .nan, count: rows * headDim)
    var values = keys
    lagoon_q8_unpack(block, rows, headDim, 0, &keys, &values)
    return (keys, values)
  }

  /// Keys are off by at most half a step, 127 of which go from the middle of their channel's range to its end; values of their row's.
  /// bf16 moves the middle by at most 1/256 of it and widens a step by at most 1/128.
  @Test(arguments: [1, 2, 31, 128], [1, 3, 16, 64, 100])
  func elementsAreOffByHalfAStepAtMost(rows: Int, headDim: Int) {
    var random = SeededGenerator(UInt64(rows * 1000 + headDim))
    for scale: Float in [1e-30, 1, 3e37] {
      let keys = random.floats(rows * headDim, scale: scale)
      let values = random.floats(rows * headDim, scale: scale)
      let got = Self.unpacked(Self.packed(keys, values, rows: rows), rows: rows, headDim: headDim)
      func check(_ x: [Float], _ y: [Float], _ line: [Int], _ what: String) {
        let least = line.map { x[$0] }.min() ?? 0
        let most = line.map { x[$0] }.max() ?? 0
        let middle = (Double(most) + Double(least)) / 2
        let step = ((Double(most) - Double(least)) / 2 + abs(middle) / 128) / 127 * (1 + 1.0 / 64)
        for i in line {
          let off = abs(Double(x[i]) - Double(y[i]))
          #expect(
            off <= step / 2 + Double(abs(y[i])) * 3e-7,
            "\(what) \(i) of \(rows) × \(headDim): \(x[i]), \(y[i])")
        }
      }
      for c in 0..<headDim {
        check(keys, got.keys, (0..<rows).map { $0 * headDim + c }, "key")
      }
      for r in 0..<rows {
        check(values, got.values, (0..<headDim).map { r * headDim + $0 }, "value")
      }
    }
  }

  @Test func oneValueThatFitsIsKept() {
    let rows = [Float](repeating: -1.5, count: 4 * 8)
    let got = Self.unpacked(Self.packed(rows, rows, rows: 4), rows: 4, headDim: 8)
    #expect(got.keys == rows && got.values == rows)
  }

  /// The largest elements of a type stay finite in it.
  @Test(arguments: [(UInt8(0), Float(3.4028234e38)), (1, 3.3895314e38), (2, 65504)])
  func largeElementsStayFinite(type: UInt8, largest: Float) {
    let extremes: [Float] = [largest, -largest, largest / 3, 0, -largest / 7, 1, largest, largest]
    let block = Self.packed(extremes, extremes.reversed(), rows: 2, type: type)
    var keys = [UInt8](repeating: 0, count: 32)
    var values = keys
    lagoon_q8_unpack(block, 2, 4, type, &keys, &values)
    #expect(lagoon_first_nonfinite(keys, type, 8) < 0 && lagoon_first_nonfinite(values, type, 8) < 0)
  }

  /// On every target as over the rows that the blocks stand for, whatever their sizes.
  @Test(arguments: [1, 16, 40, 64, 128, 131], [1, 3, 8, 40])
  func attentionIsThatOverTheUnpackedRows(headDim: Int, queries: Int) {
    var random = SeededGenerator(UInt64(headDim * 100 + queries))
    let sizes = [32, 1, 128, 29, 29, 5]
    let count = sizes.reduce(0, +)
    let keys = random.floats(count * headDim, scale: 2)
    let values = random.floats(count * headDim, scale: 1)
    var blocks: [[UInt8]] = []
    var k: [Float] = []
    var v: [Float] = []
    for size in sizes {
      let range = k.count..<k.count + size * headDim
      blocks.append(Self.packed(Array(keys[range]), Array(values[range]), rows: size))
      let rows = Self.unpacked(blocks[blocks.count - 1], rows: size, headDim: headDim)
      k += rows.keys
      v += rows.values
    }
    let q = random.floats(queries * headDim, scale: 1 / Float(headDim).squareRoot())
    func check(
      _ name: String, _ kernel: (UnsafePointer<lagoon_query_rows>, UnsafeMutablePointer<Float>) -> Void
    ) {
      let padded = lagoon_padded_dim(headDim)
      let floats = 2 * queries * padded + lagoon_attention_scratch(headDim, queries)
      let memory = UnsafeMutableRawPointer.allocate(byteCount: 4 * floats, alignment: 64)
        .bindMemory(to: Float.self, capacity: floats)
      defer { memory.deallocate() }
      memory.initialize(repeating: 0, count: floats)
      for row in 0..<queries {
        for c in 0..<headDim { memory[row * padded + c] = q[row * headDim + c] }
      }
      var maximum = [Float](repeating: -.infinity, count: queries)
      var sum = [Float](repeating: 0, count: queries)
      maximum.withUnsafeMutableBufferPointer { maximum in
        sum.withUnsafeMutableBufferPointer { sum in
          var rows = lagoon_query_rows(
            queries: memory, weighted: memory + queries * padded, maximum: maximum.baseAddress,
            sum: sum.baseAddress, rows: queries, group: 1, headDim: headDim, firstPosition: 0, scale: 1,
            narrow: nil)
          kernel(&rows, memory + 2 * queries * padded)
        }
      }
      for row in 0..<queries {
        let logits = (0..<count).map { r in
          (0..<headDim).reduce(0.0) { $0 + Double(q[row * headDim + $1]) * Double(k[r * headDim + $1]) }
        }
        let most = logits.max() ?? 0
        let weights = logits.map { exp($0 - most) }
        let total = weights.reduce(0, +)
        #expect(abs(Double(maximum[row]) + log(Double(sum[row])) - most - log(total)) < 2e-5, "\(name)")
        for c in 0..<headDim {
          let expected = (0..<count).reduce(0.0) { $0 + weights[$1] * Double(v[$1 * headDim + c]) } / total
          let got = Double(memory[(queries + row) * padded + c] / sum[row])
          #expect(abs(got - expected) < 2e-5, "\(name): \(got), \(expected)")
        }
      }
    }
    let pointers = blocks.map { block in
      let copy = UnsafeMutableRawPointer.allocate(byteCount: block.count + 1, alignment: 64)
      block.withUnsafeBytes { (copy + 1).copyMemory(from: $0.baseAddress!, byteCount: block.count) }
      return copy
    }
    defer { for pointer in pointers { pointer.deallocate() } }
    let runs = zip(pointers, sizes).map { lagoon_q8_run(block: UnsafeRawPointer($0 + 1), count: $1) }
    check("scalar") { lagoon_attend_q8_scalar($0, runs, runs.count, $1) }
    onEveryTarget { name in check(name) { lagoon_attend_q8($0, runs, runs.count, $1) } }
  }
}
