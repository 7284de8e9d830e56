import Foundation
import Safetensors
import Testing
import ToolSupport

/// `lagoon-lm logits` on tiny models of every family, through a real daemon, against an independent implementation.
@Suite struct ReferenceLogitsTests {
  /// Folder, file with the expected logits, rounding of the rotary frequencies (see TransformerTests/ReferenceModelTests).
  static let cases: [(model: String, file: String, frequencies: String)] = [
    ("llama-mha-untied", "reference", "exact"), ("qwen2-bias-tied", "reference", "exact"),
    ("qwen2-yarn", "reference", "exact"), ("llama3-scaled-tied", "exact", "exact"),
    ("llama3-scaled-tied", "reference", "bf16"), ("mistral-headdim", "exact", "exact"),
    ("mistral-headdim", "reference", "f16"), ("qwen3-qknorm-sharded", "exact", "exact"),
    ("qwen3-qknorm-sharded", "reference", "bf16"), ("llama-linear-biases", "reference", "exact"),
    ("llama3-newer-spelling", "reference", "exact"), ("llama-yarn-mscale", "reference", "exact"),
    ("mistral-yarn-attention-factor", "reference", "exact"), ("qwen3-attention-bias", "reference", "exact"),
    ("qwen2-window-not-in-use", "reference", "exact"),
  ]

  /// With everything kept, by policy `full` and by LagKV at ratio 1, and in chunks that cut partitions anywhere.
  @Test func agreeInEveryCut() throws {
    let daemon = try PrivateDaemon()
    defer { daemon.stop() }
    let output = FileManager.default.temporaryDirectory.path + "/logits-\(UUID().uuidString).safetensors"
    defer { try? FileManager.default.removeItem(atPath: output) }
    for reference in Self.cases {
      let folder = Program.root + "/Tests/Fixtures/models/" + reference.model
      let expected = try SafetensorsFile(path: "\(folder)/\(reference.file).safetensors").floats("logits")
      for policy in [
        ["--policy", "full"], ["--policy", "lagkv", "--ratio", "1", "--sinks", "4", "--lag", "16"],
      ] {
        for chunk in ["256", "7"] {
          let run = try Program.run(
            "lagoon-lm",
            [
              "logits", folder, "--tokens", folder + "/tokens.json", "-o", output, "--chunk", chunk,
              "--rope-frequencies", reference.frequencies, "--socket", daemon.socketPath,
            ] + policy)
          try #require(run.status == 0, "\(run.errors)")
          let logits = try SafetensorsFile(path: output).floats("logits")
          try #require(logits.count == expected.count)
          let error = zip(logits, expected).map { abs($0 - $1) }.max() ?? .infinity
          #expect(error < 2e-4, "\(reference) \(policy) chunk \(chunk): \(error)")
        }
      }
    }
  }

  /// LagKV below ratio 1 drops rows, and that shows.
  @Test func droppingShows() throws {
    let folder = Program.root + "/Tests/Fixtures/models/qwen2-yarn"
    let output = FileManager.default.temporaryDirectory.path + "/logits-\(UUID().uuidString).safetensors"
    defer { try? FileManager.default.removeItem(atPath: output) }
    let run = try Program.run(
      "lagoon-lm",
      [
        "logits", folder, "--tokens", folder + "/tokens.json", "-o", output, "--policy", "lagkv", "--ratio",
        "0.25", "--sinks", "4", "--lag", "16",
      ])
    try #require(run.status == 0, "\(run.errors)")
    let logits = try SafetensorsFile(path: output).floats("logits")
    let expected = try SafetensorsFile(path: folder + "/reference.safetensors").floats("logits")
    #expect((zip(logits, expected).map { abs($0 - $1) }.max() ?? 0) > 1e-2)
  }
}
