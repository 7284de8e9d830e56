import CXXHash
import Foundation
import KVStore
import LagKV
import Testing

/// What a slab's checksum covers, put together as docs/format.md defines it and hashed in one piece by the library's plain function.
@Suite struct ChecksumTests {
  @Test(arguments: Codec.allCases) func isTheHashThatTheFormatDefines(codec: Codec) throws {
    let (kvHeads, rowBytes) = (DamageTests.document.kvHeads, 4 * DamageTests.document.headDim)
    let fixture = StoreFixture()
    let store = try fixture.open()
    let session = try store.create(
      configuration(document: DamageTests.document, archive: codec != .q8, codec: codec))
    // In one commit: a slab that another replaces stays in the file, in pieces.
    try session.ingest(DamageTests.document, pieces(0..<205, 205))
    try store.close()

    let file = try Data(contentsOf: URL(fileURLWithPath: fixture.dataFile))
    var kinds: Set<UInt8> = []
    for slab in DamageTests.slabs(file) {
      let kind = file[slab + 6]
      let slots = Int(DamageTests.field(file, slab + 36, UInt32.self))
      let count = Int(DamageTests.field(file, slab + 56, UInt32.self))
      let payload = Int(DamageTests.field(file, slab + 60, UInt32.self))
      var covered: [UInt8] = []
      func cover(_ offset: Int, _ bytes: Int) { covered += file[slab + offset..<slab + offset + bytes] }
      cover(0, 104)
      switch kind {
      case 1, 2:
        for head in 0..<kvHeads where kind == 1 { cover(112 + 4 * slots * head, 4 * count) }
        for plane in 0..<2 * kvHeads { cover(4080 + plane * slots * rowBytes, count * rowBytes) }
      case 3, 4:
        cover(112, 8 * count)
        cover(4080, payload)
      default: cover(4080, payload)
      }
      #expect(
        DamageTests.field(file, slab + 104, UInt64.self) == XXH3_64bits(covered, covered.count),
        "kind \(kind)")
      kinds.insert(kind)
    }
    let expected: [Codec: Set<UInt8>] = [.raw: [1, 2, 3], .zstd: [1, 2, 3, 4], .q8: [1, 2, 5]]
    #expect(kinds == expected[codec])
  }
}
