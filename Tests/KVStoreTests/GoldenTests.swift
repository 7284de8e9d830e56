import Foundation
import KVStore
import LagKV
import Safetensors
import SparseAttention
import Testing

/// One golden case; see Tests/Fixtures/golden.
struct GoldenCase: CustomTestStringConvertible, Sendable {
  struct Description: Decodable, Sendable {
    let name: String
    let kind: String
    let kvHeads: Int
    let queryHeads: Int
    let headDim: Int
    let sinks: Int
    let lag: Int
    let ratio: Double
    let tokens: Int
    let valueWeight: Double
    let inputType: String

    enum CodingKeys: String, CodingKey {
      case name, kind
      case kvHeads = "H"
      case queryHeads = "Hq"
      case headDim = "D"
      case sinks = "S"
      case lag = "L"
      case ratio = "r"
      case tokens = "T"
      case valueWeight = "score_v_ratio"
      case inputType = "input_dtype"
    }
  }

  let description: Description
  let tensors: SafetensorsFile

  var testDescription: String { description.name }
  var isLRSA: Bool { description.kind == "lrsa" }

  var elementType: ElementType {
    switch description.inputType {
    case "bfloat16": .bfloat16
    case "float16": .float16
    default: .float32
    }
  }

  static let all: [GoldenCase] = {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Fixtures/golden")
    let files =
      (try? FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)) ?? []
    return files.filter { $0.pathExtension == "json" }.sorted { $0.path < $1.path }.compactMap { file in
      guard let data = try? Data(contentsOf: file),
        let description = try? JSONDecoder().decode(Description.self, from: data),
        let tensors = try? SafetensorsFile(path: file.deletingPathExtension().path + ".safetensors")
      else { return nil }
      return GoldenCase(description: description, tensors: tensors)
    }
  }()

  /// Calls `body` with a view of some tokens of a tensor `[heads, tokens, headDim]`.
  func view<R>(_ name: String, _ tokens: Range<Int>? = nil, _ body: (TensorView) throws -> R) throws -> R {
    let tensor = try tensors.tensor(name)
    return try tensors.floats(name).withUnsafeBytes { bytes in
      let view = TensorView.headMajor(
        bytes.baseAddress!, elementType: .float32, tokens: tensor.shape[1], heads: tensor.shape[0],
        headDim: tensor.shape[2])
      return try body(tokens.map { view.slice(tokens: $0) } ?? view)
    }
  }
}

@Suite struct GoldenTests {
  @Test func allCasesAreThere() { #expect(GoldenCase.all.count == 19) }

  /// Kept positions exactly, attention within 5e-6, through the store: every cut, both codecs, with a restart half way.
  @Test(arguments: GoldenCase.all, [1, 7, 64, 4096])
  func golden(_ golden: GoldenCase, cut: Int) throws {
    let d = golden.description
    let codec: Codec = cut == 7 ? .zstd : .raw
    let fixture = StoreFixture()
    var store = try fixture.open()
    let c = try SessionConfiguration(
      name: d.name, layers: 1, kvHeads: d.kvHeads, headDim: d.headDim, elementType: golden.elementType,
      retention: RetentionParameters(
        policy: .lagkv, sinks: d.sinks, lag: d.lag, ratio: d.ratio, valueWeight: d.valueWeight),
      codec: codec)
    _ = try store.create(c)
    var out = [Float](repeating: .nan, count: d.tokens * d.queryHeads * d.headDim)
    var lse = [Float](repeating: .nan, count: d.tokens * d.queryHeads)
    for half in [0..<d.tokens / 2, d.tokens / 2..<d.tokens] {
      let session = try store.open(d.name, expecting: .init())
      let tail = try session.begin(capacity: d.tokens, owner: StagingAccount(cap: 1 << 30))
      for tokens in pieces(half, cut) {
        try golden.view("k", tokens) { keys in
          try golden.view("v", tokens) { values in
            guard golden.isLRSA else { return try tail.append(layer: 0, keys: keys, values: values) }
            try golden.view("q", tokens) { queries in
              try out.withUnsafeMutableBytes { o in
                try lse.withUnsafeMutableBytes { l in
                  try tail.step(
                    layer: 0, queries: queries, keys: keys, values: values,
                    out: MutableTensorView.headMajor(
                      o.baseAddress!, tokens: d.tokens, heads: d.queryHeads, headDim: d.headDim
                    ).slice(tokens: tokens),
                    logSumExp: LogSumExpView.headMajor(l.baseAddress!, tokens: d.tokens, heads: d.queryHeads)
                      .slice(tokens: tokens))
                }
              }
            }
          }
        }
      }
      try tail.commit(tokenIDs: half.map(UInt32.init))
      try store.close()
      store = try fixture.open()
    }
    let session = try store.open(d.name, expecting: .init())
    let rows = try session.fetch(
      layer: 0, firstRow: 0, rows: d.tokens, maxBytes: 1 << 30, positionsOnly: true)
    #expect(rows.positions.map(Int.init) == (try golden.tensors.integers("retained")))
    if !golden.isLRSA {
      try golden.view("q") { queries in
        out = [Float](repeating: .nan, count: queries.tokens * d.queryHeads * d.headDim)
        lse = [Float](repeating: .nan, count: queries.tokens * d.queryHeads)
        try out.withUnsafeMutableBytes { o in
          try lse.withUnsafeMutableBytes { l in
            let tokens = try session.attend(
              layer: 0, queries: queries,
              out: .headMajor(
                o.baseAddress!, tokens: queries.tokens, heads: d.queryHeads, headDim: d.headDim),
              logSumExp: .headMajor(l.baseAddress!, tokens: queries.tokens, heads: d.queryHeads))
            #expect(tokens == d.tokens)
          }
        }
      }
    }
    for (name, got) in [("out", out), ("lse", lse)] {
      let want = try golden.tensors.floats(name)
      #expect(want.count == got.count)
      let worst = zip(want, got).map { abs($0 - $1) }.max() ?? .infinity
      #expect(worst < 5e-6, "\(name) is off by \(worst)")
    }
  }
}
