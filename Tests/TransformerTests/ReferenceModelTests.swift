import Foundation
import Safetensors
import Testing
import Transformer

/// Tiny models of every family and rope type against the logits of an independent implementation.
///
/// Folders whose weights are narrow and whose reference was made by converting a whole model to their type, frequencies
/// included, have `exact.safetensors` besides: the logits of the folder loaded in f32, where frequencies stay f32
/// (tools/compare/reference_models.py).
@Suite struct ReferenceModelTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var name: String
    var file = "reference"
    var frequencies = FrequencyRounding.exact
    var testDescription: String { "\(name), \(file), frequencies \(frequencies.rawValue)" }
  }

  static let cases = [
    Case(name: "llama-mha-untied"), Case(name: "qwen2-bias-tied"), Case(name: "qwen2-yarn"),
    Case(name: "llama3-scaled-tied", file: "exact"), Case(name: "llama3-scaled-tied", frequencies: .bfloat16),
    Case(name: "mistral-headdim", file: "exact"), Case(name: "mistral-headdim", frequencies: .float16),
    Case(name: "qwen3-qknorm-sharded", file: "exact"),
    Case(name: "qwen3-qknorm-sharded", frequencies: .bfloat16),
    Case(name: "llama-linear-biases"), Case(name: "llama3-newer-spelling"), Case(name: "llama-yarn-mscale"),
    Case(name: "mistral-yarn-attention-factor"), Case(name: "qwen3-attention-bias"),
    Case(name: "qwen2-window-not-in-use"),
  ]

  private static func folder(_ name: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Fixtures/models/" + name).path
  }

  private static func tokens(_ name: String) throws -> [UInt32] {
    try JSONDecoder().decode(
      [UInt32].self, from: Data(contentsOf: URL(fileURLWithPath: folder(name) + "/tokens.json")))
  }

  @Test(arguments: cases) func logitsAreTheReferences(_ reference: Case) throws {
    let folder = Self.folder(reference.name)
    let tokens = try Self.tokens(reference.name)
    let expected = try SafetensorsFile(path: "\(folder)/\(reference.file).safetensors").floats("logits")
    let model = try DecoderModel(folder: folder, frequencies: reference.frequencies)
    for chunks in [[tokens.count], [7], [1, 50, 3]] {
      let logits = try denseLogits(model, tokens, chunks: chunks)
      try #require(logits.count == expected.count)
      #expect(largestDifference(logits, expected) < 2e-4, "cut \(chunks)")
    }
  }

  /// The frequencies' rounding is not in the noise: with the other one the narrow references are missed.
  @Test(arguments: cases.filter { $0.frequencies != .exact })
  func theRoundingShows(_ reference: Case) throws {
    let folder = Self.folder(reference.name)
    let expected = try SafetensorsFile(path: folder + "/reference.safetensors").floats("logits")
    let tokens = try Self.tokens(reference.name)
    let exact = try denseLogits(DecoderModel(folder: folder), tokens, chunks: [tokens.count])
    #expect(largestDifference(exact, expected) > 1e-2)
  }

  /// Several texts in one pass get the bits that each gets alone.
  @Test(arguments: ["qwen3-qknorm-sharded", "llama-linear-biases"])
  func aBatchIsItsTextsAlone(_ name: String) throws {
    let model = try DecoderModel(folder: Self.folder(name))
    let tokens = try Self.tokens(name)
    let texts = [tokens[..<5], tokens[5..<6], tokens[6..<60]].map(Array.init)
    for rows in [LogitRows.all, .last, .none] {
      let alone = try texts.map {
        try model.forward($0, startPosition: 0, attention: DenseAttention(model.configuration), logits: rows)
      }
      let together = try model.forward(
        texts.map { SequenceChunk($0, startPosition: 0, attention: DenseAttention(model.configuration)) },
        logits: rows)
      #expect(together == alone)
    }
    #expect(try model.forward([SequenceChunk<DenseAttention>](), logits: .all).isEmpty)
  }

  /// bf16 compute on bf16 weights stays within what eight bits of mantissa allow, and is not the f32 result.
  @Test func brainFloatErrorIsBounded() throws {
    let name = "qwen3-qknorm-sharded"
    let tokens = try Self.tokens(name)
    let exact = try SafetensorsFile(path: Self.folder(name) + "/exact.safetensors").floats("logits")
    let model = try DecoderModel(folder: Self.folder(name), compute: .bfloat16)
    let logits = try denseLogits(model, tokens, chunks: [tokens.count])
    let error = largestDifference(logits, exact)
    #expect(error > 1e-4 && error < 0.3, "\(error)")
  }

  /// All shards in one file are the same model.
  @Test func shardsAreNotPartOfTheFingerprint() throws {
    let sharded = Self.folder("qwen3-qknorm-sharded")
    try withTemporaryFolder { folder in
      try FileManager.default.copyItem(atPath: sharded + "/config.json", toPath: folder + "/config.json")
      let files = try SafetensorsCheckpoint(folder: sharded)
      #expect(files.files.count == 11)
      var writer = SafetensorsWriter()
      for name in files.names.reversed() {
        let slice = try files.tensor(name)
        try writer.add(name, dtype: slice.dtype, shape: slice.shape, bytes: Array(slice.bytes))
      }
      try writer.write(to: folder + "/model.safetensors")
      let whole = try DecoderModel(folder: folder)
      #expect(try whole.fingerprint() == DecoderModel(folder: sharded).fingerprint())
      let rounded = try DecoderModel(folder: folder, frequencies: .bfloat16)
      #expect(try whole.fingerprint() != rounded.fingerprint())
    }
  }
}
