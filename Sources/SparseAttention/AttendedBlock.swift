import Kernels
import LagKV

/// What attention reads, of whatever kind: some rows of one or more KV heads.
protocol AttendedBlock: Sendable {
  /// One head's rows as the kernel takes them.
  associatedtype Run

  var rows: Int { get }
  var heads: Range<Int> { get }
  /// Blocks of different codes cannot share a call of the kernel.
  var code: UInt8 { get }
  /// See ``KeyValueBlock/firstPosition``.
  var firstPosition: Int? { get }

  func run(_ head: Int) -> Run

  /// Adds the rows of `runs` to the running attention of `rows`; `next` will be read by another call.
  static func attend(
    _ rows: inout lagoon_query_rows, _ runs: UnsafeMutableBufferPointer<Run>, code: UInt8,
    next: UnsafeMutableBufferPointer<Run>, _ scratch: UnsafeMutablePointer<Float>)
}

extension AttendedBlock {
  /// The kernel's tiles go on from one block to this one.
  func continues(_ before: Self) -> Bool { firstPosition == before.firstPosition.map { $0 + before.rows } }
}

extension KeyValueBlock: AttendedBlock {
  var code: UInt8 { elementType.rawValue }

  func run(_ head: Int) -> lagoon_key_run {
    let offset = (head - heads.lowerBound) * headStrideBytes
    return lagoon_key_run(
      keys: keys + offset, values: values + offset, count: rows,
      firstPosition: firstPosition.map(Int64.init) ?? .min)
  }

  static func attend(
    _ rows: inout lagoon_query_rows, _ runs: UnsafeMutableBufferPointer<lagoon_key_run>, code: UInt8,
    next: UnsafeMutableBufferPointer<lagoon_key_run>, _ scratch: UnsafeMutablePointer<Float>
  ) {
    lagoon_attend(&rows, runs.baseAddress, runs.count, next.baseAddress, next.count, code, scratch)
  }
}

extension EightBitBlock: AttendedBlock {
  var heads: Range<Int> { head..<head + 1 }
  var code: UInt8 { 0 }
  var firstPosition: Int? { nil }

  func run(_: Int) -> lagoon_q8_run { lagoon_q8_run(block: bytes, count: rows) }

  static func attend(
    _ rows: inout lagoon_query_rows, _ runs: UnsafeMutableBufferPointer<lagoon_q8_run>, code: UInt8,
    next: UnsafeMutableBufferPointer<lagoon_q8_run>, _ scratch: UnsafeMutablePointer<Float>
  ) {
    lagoon_attend_q8(&rows, runs.baseAddress, runs.count, scratch)
  }
}
