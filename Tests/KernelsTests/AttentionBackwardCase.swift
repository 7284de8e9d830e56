import Glibc
import Kernels
import TestSupport
import Testing

typealias AttendBackward = (
  UnsafePointer<lagoon_query_gradient_rows>, UnsafeRawPointer, UnsafeRawPointer, UInt8, Int, Int64,
  UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>
) -> Void

/// A kernel over one list of keys, which it gets in runs of `length` rows where every query sees them, else as one.
func inRuns(
  of length: Int,
  _ kernel:
    @escaping (
      UnsafePointer<lagoon_query_gradient_rows>, UnsafePointer<lagoon_gradient_run>, Int, UInt8,
      UnsafeMutablePointer<Float>
    ) -> Void
) -> (
  UnsafePointer<lagoon_query_gradient_rows>, UnsafeRawPointer, UnsafeRawPointer, UInt8, Int, Int64,
  UnsafeMutablePointer<Float>?, UnsafeMutablePointer<Float>?, UnsafeMutablePointer<Float>
) -> Void {
  { rows, keys, values, type, count, first, dKeys, dValues, scratch in
    let headDim = rows.pointee.headDim
    let rowBytes = headDim * (types.first { $0.code == type }?.bytes ?? 0)
    let step = first == .min ? min(length, max(count, 1)) : max(count, 1)
    let runs = stride(from: 0, to: count, by: step).map { row in
      lagoon_gradient_run(
        keys: keys + row * rowBytes, values: values + row * rowBytes, count: min(step, count - row),
        firstPosition: first, dKeys: dKeys.map { $0 + row * headDim },
        dValues: dValues.map { $0 + row * headDim })
    }
    kernel(rows, runs, runs.count, type, scratch)
  }
}

func attendBackward(
  _ rows: UnsafePointer<lagoon_query_gradient_rows>, _ keys: UnsafeRawPointer, _ values: UnsafeRawPointer,
  _ type: UInt8, _ count: Int, _ first: Int64, _ dKeys: UnsafeMutablePointer<Float>?,
  _ dValues: UnsafeMutablePointer<Float>?, _ scratch: UnsafeMutablePointer<Float>
) {
  inRuns(of: .max, lagoon_attend_backward)(rows, keys, values, type, count, first, dKeys, dValues, scratch)
}

func attendBackwardScalar(
  _ rows: UnsafePointer<lagoon_query_gradient_rows>, _ keys: UnsafeRawPointer, _ values: UnsafeRawPointer,
  _ type: UInt8, _ count: Int, _ first: Int64, _ dKeys: UnsafeMutablePointer<Float>?,
  _ dValues: UnsafeMutablePointer<Float>?, _ scratch: UnsafeMutablePointer<Float>
) {
  inRuns(of: 13, lagoon_attend_backward_scalar)(
    rows, keys, values, type, count, first, dKeys, dValues, scratch)
}

/// Gradients of queries `[rows, headDim]`, keys and values `[count, headDim]`.
struct Gradients<Scalar> {
  var dQueries: [Scalar]
  var dKeys: [Scalar]
  var dValues: [Scalar]
}

/// One call's input: queries that are already scaled, keys and values of one KV head, and the gradients of what
/// the forward pass gives.
struct BackwardCase {
  let headDim: Int
  let group: Int
  let type: UInt8
  var queries: [Float]  // [rows, headDim]
  /// What queries that are numbers of bf16 have been multiplied by, a power of two; nil: they are not.
  let scale: Float?
  var keys: [Float]  // [count, headDim], as `type` rounds them
  var values: [Float]
  var dOut: [Float]  // [rows, headDim]
  var dLogSumExp: [Float]  // [rows]
  var firstQueryPosition = 0
  var firstPosition = Int64.min
  /// Rows that see nothing, whatever their position.
  var unseeing = 0..<0

  var rows: Int { queries.count / headDim }
  var count: Int { keys.count / headDim }

  init(
    headDim: Int, group: Int, queries: Int, keys: Int, type: UInt8, seed: UInt64, narrow: Bool = false
  ) {
    var random = SeededGenerator(seed)
    self.headDim = headDim
    self.group = group
    self.type = type
    self.queries = random.floats(queries * group * headDim, scale: 1 / Float(headDim).squareRoot())
    scale = narrow ? 0.125 : nil
    if let scale {
      self.queries = rounded(self.queries.map { $0 / scale }, to: UInt8(LAGOON_BF16)).map { $0 * scale }
    }
    self.keys = rounded(random.floats(keys * headDim, scale: 2), to: type)
    self.values = rounded(random.floats(keys * headDim), to: type)
    dOut = random.floats(queries * group * headDim)
    dLogSumExp = random.floats(queries * group)
  }

  /// Element types of keys, and whether queries are numbers of bf16.
  static let kinds = types.map { (type: $0.code, narrow: false) } + [(type: UInt8(LAGOON_BF16), narrow: true)]

  func visible(row: Int) -> Int {
    if unseeing.contains(row) { return 0 }
    if firstPosition == .min { return count }
    return max(0, min(count, firstQueryPosition + row / group - Int(firstPosition) + 1))
  }

  /// Rows `range` against keys `keyRange` alone through a kernel, whose log-sum-exp and delta are those of
  /// `forward`. Adds to `start`, in memory at odd addresses; reports what is written beside it.
  func run(
    _ backward: AttendBackward, forward: BackwardReference, rows range: Range<Int>? = nil,
    keys keyRange: Range<Int>? = nil, start: Gradients<Float>? = nil
  ) -> Gradients<Float> {
    let range = range ?? 0..<rows
    let keyRange = keyRange ?? 0..<count
    precondition(range.lowerBound % group == 0)
    let padded = lagoon_padded_dim(headDim)
    let packed = range.count * padded
    // 64-byte aligned, as the kernel's comment asks of the rows' memory.
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: 4 * (3 * packed + lagoon_attention_backward_scratch(headDim)), alignment: 64)
    defer { memory.deallocate() }
    let queryRows = memory.bindMemory(
      to: Float.self, capacity: 3 * packed + lagoon_attention_backward_scratch(headDim))
    queryRows.initialize(repeating: 0, count: 3 * packed)
    let scratch = queryRows + 3 * packed
    scratch.initialize(repeating: .nan, count: lagoon_attention_backward_scratch(headDim))
    for (i, row) in range.enumerated() {
      for c in 0..<headDim {
        queryRows[i * padded + c] = queries[row * headDim + c]
        queryRows[packed + i * padded + c] = dOut[row * headDim + c]
        queryRows[2 * packed + i * padded + c] = start?.dQueries[i * headDim + c] ?? 0
      }
    }
    let narrow = UnsafeMutableRawPointer.allocate(byteCount: 2 * packed, alignment: 64)
      .bindMemory(to: UInt16.self, capacity: packed)
    defer { narrow.deallocate() }
    let unscaled = (0..<packed).map { queryRows[$0] / (scale ?? 1) }
    lagoon_convert_scalar(unscaled, UInt8(LAGOON_F32), narrow, UInt8(LAGOON_BF16), packed)
    let lse = range.map { Float(forward.logSumExp[$0]) }
    let delta = range.map { Float(forward.delta[$0]) }
    let elements = keyRange.lowerBound * headDim..<keyRange.upperBound * headDim
    let k = Elements(Array(keys[elements]), as: type, misalignedBy: 1)
    let v = Elements(Array(values[elements]), as: type, misalignedBy: 3)
    let margin: [Float] = [12345]
    let zeros = [Float](repeating: 0, count: elements.count)
    let dKeys = Elements(
      margin + (start?.dKeys ?? zeros) + margin, as: UInt8(LAGOON_F32), misalignedBy: 5)
    let dValues = Elements(
      margin + (start?.dValues ?? zeros) + margin, as: UInt8(LAGOON_F32), misalignedBy: 2)
    lse.withUnsafeBufferPointer { lse in
      delta.withUnsafeBufferPointer { delta in
        var rows = lagoon_query_gradient_rows(
          queries: queryRows, dOut: queryRows + packed, logSumExp: lse.baseAddress, delta: delta.baseAddress,
          dQueries: queryRows + 2 * packed, rows: range.count, group: group, headDim: headDim,
          firstPosition: Int64(firstQueryPosition + range.lowerBound / group), scale: scale ?? 1,
          narrow: scale == nil ? nil : UnsafePointer(narrow))
        backward(
          &rows, k.base, v.base, type, keyRange.count,
          firstPosition == .min ? .min : firstPosition + Int64(keyRange.lowerBound),
          (dKeys.base + 4).assumingMemoryBound(to: Float.self),
          (dValues.base + 4).assumingMemoryBound(to: Float.self), scratch)
      }
    }
    func floats(_ memory: Elements) -> [Float] {
      let all = (0..<elements.count + 2).map {
        memory.base.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self)
      }
      if all.first != 12345 || all.last != 12345 { Issue.record("wrote beside the gradients") }
      return Array(all.dropFirst().dropLast())
    }
    var dQueries: [Float] = []
    for i in 0..<range.count {
      for c in 0..<headDim { dQueries.append(queryRows[2 * packed + i * padded + c]) }
      for c in headDim..<padded where queryRows[2 * packed + i * padded + c] != 0 {
        Issue.record("padding of dQueries is not zero")
      }
    }
    return Gradients(dQueries: dQueries, dKeys: floats(dKeys), dValues: floats(dValues))
  }

  /// What f32 allows, relative to the sum of a gradient's terms without their signs. A weight is off by as much
  /// as its logit, whose channels are added one after the other, and its log-sum-exp, each rounded at its own
  /// size; the gradient of a weight is such a sum too; then come the sums over rows or keys.
  func tolerance(_ reference: BackwardReference) -> Double {
    let steps = Double(headDim).squareRoot()
    return Double(Float.ulpOfOne) * (8 + steps + (1 + steps) * reference.largestLogit / 2)
  }

  /// Compares with the oracle, `start` added to it.
  func expectAccurate(
    _ got: Gradients<Float>, _ reference: BackwardReference, start: Gradients<Float>? = nil, _ name: String
  ) {
    for (which, got, expected, terms, start) in [
      ("dQueries", got.dQueries, reference.gradients.dQueries, reference.terms.dQueries, start?.dQueries),
      ("dKeys", got.dKeys, reference.gradients.dKeys, reference.terms.dKeys, start?.dKeys),
      ("dValues", got.dValues, reference.gradients.dValues, reference.terms.dValues, start?.dValues),
    ] {
      let tolerance = tolerance(reference)
      let scale = terms.reduce(start == nil ? 0 : 4, max)
      for i in expected.indices {
        let difference = abs(Double(got[i]) - Double(start?[i] ?? 0) - expected[i])
        if difference <= tolerance * scale { continue }
        Issue.record(
          """
          \(name), type \(type), headDim \(headDim), \(rows) rows in groups of \(group), \(count) keys: \(which)[\(i)] is \
          off by \(difference), \(difference / scale) of its terms
          """)
        return
      }
    }
  }
}
