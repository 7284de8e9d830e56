import CAllocationCount
import Foundation
import KVStore
import LagKV
import SparseAttention
import TestSupport
import Testing

/// Attention reads the kept rows where they lie: no copy, and no allocation that grows with them.
@Suite struct InPlaceTests {
  /// 16 rows a slab in f32.
  static let document = Document(kvHeads: 4, headDim: 128, queryHeads: 8)

  /// Where the data file is mapped, as the kernel says.
  static func mapping(of file: String) throws -> [Range<UInt>] {
    // Read to the end: as one piece, which the kernel gives a page of, it would be cut off.
    let maps = try #require(
      try FileHandle(forReadingFrom: URL(fileURLWithPath: "/proc/self/maps")).readToEnd())
    return String(decoding: maps, as: UTF8.self).split(separator: "\n").compactMap { line in
      guard line.hasSuffix(file) else { return nil }
      let ends = line.prefix { $0 != " " }.split(separator: "-").compactMap { UInt($0, radix: 16) }
      return ends.count == 2 ? ends[0]..<ends[1] : nil
    }
  }

  @Test(arguments: ElementType.allCases, [PolicyKind.lagkv, .full])
  func rowsAreReadInTheMap(type: ElementType, policy: PolicyKind) throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let session = try store.create(
      configuration(layers: 1, document: Self.document, type: type, policy: policy))
    try session.ingest(Self.document, pieces(0..<300, 37))
    let maps = try Self.mapping(of: fixture.dataFile)
    #expect(!maps.isEmpty)
    let runs = try session.attendedMemory(layer: 0)
    let rows = try session.everything(0)
    #expect(runs.reduce(0) { $0 + $1.count } == rows.keys.count + rows.values.count)
    for run in runs {
      let start = UInt(bitPattern: run.baseAddress)
      #expect(maps.contains { $0.contains(start) && start + UInt(run.count) <= $0.upperBound })
    }
  }

  @Test(
    .enabled(
      if: lagoon_can_count_allocations(), "allocations can be counted with glibc and without a sanitizer only"
    ))
  func allocationsDoNotGrowWithTheRows() throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    func allocations(_ tokens: Int) throws -> (calls: Int, bytes: Int, kept: Int) {
      let session = try store.create(
        configuration("\(tokens)", layers: 1, document: Self.document, policy: .full))
      try session.ingest(Self.document, pieces(0..<tokens, 64))
      let queries = Self.document.rows(.queries, layer: 0, 0..<1)
      var counts: [lagoon_allocations] = []
      // The first calls check the slabs and take a transaction, and others wait for the pool; what every call needs is the least.
      for _ in 0..<16 {
        _ = try Attended.collect(queries, Self.document) { queries, out, logSumExp in
          lagoon_count_allocations()
          defer { counts.append(lagoon_counted_allocations()) }
          return try session.attend(layer: 0, queries: queries, out: out, logSumExp: logSumExp)
        }
      }
      let least = try #require(counts.min { ($0.calls, $0.bytes) < ($1.calls, $1.bytes) })
      return (
        Int(least.calls), Int(least.bytes), 2 * tokens * Self.document.kvHeads * Self.document.headDim * 4
      )
    }
    let few = try allocations(2048)
    let many = try allocations(4096)
    #expect(few.calls > 0 && few.calls == many.calls, "\(few.calls) allocations, then \(many.calls)")
    // The list of slabs is all that grows: less than a hundredth of the rows.
    #expect((many.bytes - few.bytes) * 100 < many.kept - few.kept, "\(few.bytes) bytes, then \(many.bytes)")
  }

  /// Places that were found before stay right while sessions grow, end and begin and their pages are used again.
  @Test(arguments: Codec.allCases) func placesStayRightWhilePagesAreUsedAgain(codec: Codec) throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    var generator = SeededGenerator(5)
    struct Book {
      var session: Session
      var document: Document
      var tokens = 0
    }
    var seed: UInt64 = 0
    func made(_ name: String) throws -> Book {
      seed += 1
      var document = Self.document
      document.seed = seed
      return Book(
        session: try store.create(configuration(name, layers: 1, document: document, codec: codec)),
        document: document)
    }
    var books = try ["a", "b", "c"].map(made)
    for _ in 0..<40 {
      let i = Int.random(in: 0..<books.count, using: &generator)
      if books[i].tokens > 150 {
        let name = books[i].session.configuration.name
        try store.delete(name)
        books[i] = try made(name)
      }
      let end = books[i].tokens + Int.random(in: 1...50, using: &generator)
      try books[i].session.ingest(books[i].document, [books[i].tokens..<end])
      books[i].tokens = end
      for book in books { #expect(try book.session.holds(book.document, tokens: book.tokens)) }
    }
  }

  /// A slab that rots after it was checked is served until somebody looks; from then on it is refused.
  @Test func whatVerifyFoundIsNotServedAnyMore() throws {
    let fixture = StoreFixture()
    let store = try fixture.open()
    let session = try store.create(configuration(layers: 1, document: Self.document))
    try session.ingest(Self.document, pieces(0..<300, 37))
    _ = try session.attend(Self.document, queries: 0..<1, layer: 0)
    let file = try Data(contentsOf: URL(fileURLWithPath: fixture.dataFile))
    let handle = try #require(FileHandle(forUpdatingAtPath: fixture.dataFile))
    for slab in DamageTests.slabs(file) {
      try handle.seek(toOffset: UInt64(slab + 4200))
      try handle.write(contentsOf: Data([file[slab + 4200] ^ 4]))
    }
    try handle.close()
    #expect(try !store.verify("book").damage.isEmpty)
    #expect(code { _ = try session.attend(Self.document, queries: 0..<1, layer: 0) } == .corrupt)
  }
}
