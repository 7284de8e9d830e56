import Kernels
import TestSupport
import Testing

@Suite struct PlaneTests {
  @Test(arguments: [1, 2, 3, 4, 8])
  func planesSplitAndJoin(elementBytes: Int) {
    for count in [0, 1, 5, 15, 16, 31, 32, 63, 64, 65, 200] {
      var random = SeededGenerator(UInt64(count))
      let bytes = (0..<count * elementBytes).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      var planes = [UInt8](repeating: 0, count: bytes.count)
      for i in 0..<count {
        for b in 0..<elementBytes { planes[b * count + i] = bytes[i * elementBytes + b] }
      }
      func check(
        _ name: String, _ split: (UnsafeRawPointer, Int, Int, UnsafeMutableRawPointer) -> Void,
        _ join: (UnsafeRawPointer, Int, Int, UnsafeMutableRawPointer) -> Void
      ) {
        let source = Elements(byteCount: bytes.count, misalignedBy: 1)
        for (i, byte) in bytes.enumerated() {
          source.base.storeBytes(of: byte, toByteOffset: i, as: UInt8.self)
        }
        let apart = Elements(byteCount: bytes.count + 1, misalignedBy: 3)
        split(source.base, elementBytes, count, apart.base)
        #expect(apart.bytes(bytes.count + 1) == planes + [0xA5], "\(name): split \(count) × \(elementBytes)")
        let together = Elements(byteCount: bytes.count + 1, misalignedBy: 5)
        join(apart.base, elementBytes, count, together.base)
        #expect(together.bytes(bytes.count + 1) == bytes + [0xA5], "\(name): join \(count) × \(elementBytes)")
      }
      check("scalar", lagoon_split_planes_scalar, lagoon_join_planes_scalar)
      onEveryTarget { check($0, lagoon_split_planes, lagoon_join_planes) }
    }
  }

  @Test(arguments: [0, 1, 14, 64, 100, 128, 257])
  func rowsAreGathered(rowBytes: Int) {
    let first: UInt32 = 40
    let rows: [UInt32] = [43, 43, 40, 46, 41]
    let source = Elements(byteCount: 7 * rowBytes, misalignedBy: 1)
    for i in 0..<7 * rowBytes {
      source.base.storeBytes(of: UInt8(truncatingIfNeeded: i &* 31), toByteOffset: i, as: UInt8.self)
    }
    let all = source.bytes(7 * rowBytes)
    let expected: [UInt8] =
      rows.flatMap { all[Int($0 - first) * rowBytes..<Int($0 - first + 1) * rowBytes] } + [0xA5]
    let scalar = Elements(byteCount: expected.count)
    lagoon_gather_rows_scalar(source.base, rowBytes, rows, rows.count, first, scalar.base)
    #expect(scalar.bytes(expected.count) == expected)
    onEveryTarget { target in
      let got = Elements(byteCount: expected.count, misalignedBy: 3)
      lagoon_gather_rows(source.base, rowBytes, rows, rows.count, first, got.base)
      #expect(got.bytes(expected.count) == expected, "\(target), rows of \(rowBytes) bytes")
    }
  }
}
