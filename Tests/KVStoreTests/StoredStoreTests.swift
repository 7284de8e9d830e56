import CZstd
import Foundation
import KVStore
import LagKV
import Testing

/// A store that an earlier build wrote: what is on people's disks must stay readable. Reader and writer could otherwise change together
/// without a test that fails.
@Suite struct StoredStoreTests {
  static let document = Document(kvHeads: 2, headDim: 16, queryHeads: 4, seed: 5)
  static let tokens = 205
  static let fixture = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Fixtures/stores/format-1.mdb.zst")

  static func configurations() throws -> [SessionConfiguration] {
    [
      try configuration("raw", document: document),
      try configuration("zstd", document: document, codec: .zstd),
      try configuration("q8", document: document, type: .bfloat16, codec: .q8),
      try configuration("archive", document: document, type: .float16, policy: .streaming, archive: true),
      try configuration("exempt", document: document, policy: .full, exempt: [1]),
    ]
  }

  @Test func aStoreOfFormat1IsRead() throws {
    let store = StoreFixture()
    let packed = try Data(contentsOf: Self.fixture)
    var file = Data(count: 64 << 20)
    let bytes = file.withUnsafeMutableBytes { target in
      packed.withUnsafeBytes { ZSTD_decompress(target.baseAddress, target.count, $0.baseAddress, $0.count) }
    }
    try #require(ZSTD_isError(bytes) == 0)
    try FileManager.default.createDirectory(atPath: store.path, withIntermediateDirectories: false)
    try file.prefix(bytes).write(to: URL(filePath: store.dataFile))

    let opened = try store.open()
    try expectAll(opened)
    for configuration in try Self.configurations() {
      let session = try opened.open(configuration.name, expecting: .init())
      try session.ingest(Self.document, pieces(Self.tokens..<300, 30))
      #expect(try session.holds(Self.document, tokens: 300), "\(configuration.name)")
    }
    #expect(try opened.verify(nil).damage.isEmpty)
    try opened.close()
  }

  private func expectAll(_ store: KVStore) throws {
    #expect(try store.verify(nil).damage.isEmpty)
    let expected = try Self.configurations()
    #expect(try store.sessions().map(\.configuration.name) == expected.map(\.name).sorted())
    for configuration in expected {
      let session = try store.open(configuration.name, expecting: .init())
      #expect(session.configuration == configuration)
      #expect(try session.state().tokenHash == TokenHash.extend(0, with: Self.document.ids(0..<Self.tokens)))
      #expect(try session.holds(Self.document, tokens: Self.tokens), "\(configuration.name)")
    }
  }

  /// Makes the fixture, where LAGOON_MAKE_STORE says so: for a new format, beside the old one's.
  @Test(.enabled(if: ProcessInfo.processInfo.environment["LAGOON_MAKE_STORE"] != nil, "makes a fixture"))
  func makeTheStore() throws {
    let made = StoreFixture()
    var options = StoreOptions(quotaBytes: 64 << 20, durability: .ordered, clock: { 1_700_000_000 })
    options.boot = "fixture"
    let store = try KVStore(path: made.path, options: options)
    for configuration in try Self.configurations() {
      try store.create(configuration).ingest(Self.document, pieces(0..<Self.tokens, 41))
    }
    try store.close()
    let file = try Data(contentsOf: URL(filePath: made.dataFile))
    var packed = Data(count: ZSTD_compressBound(file.count))
    let bytes = packed.withUnsafeMutableBytes { target in
      file.withUnsafeBytes { ZSTD_compress(target.baseAddress, target.count, $0.baseAddress, $0.count, 19) }
    }
    try packed.prefix(bytes).write(to: Self.fixture)
  }
}
