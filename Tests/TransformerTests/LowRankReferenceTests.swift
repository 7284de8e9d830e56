import Foundation
import Safetensors
import Testing
import Transformer

/// Adapters that PEFT wrote, against the logits of PEFT's own model; made by `tools/compare/lora_peft.py`.
@Suite struct LowRankReferenceTests {
  private func fixture(_ name: String) -> String {
    URL(fileURLWithPath: modelFixture(name)).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("adapters/" + name).path
  }

  @Test(arguments: ["qwen3-attention-bias", "llama-linear-biases"]) func logitsAreThoseOfPEFT(
    _ name: String
  ) throws {
    let adapter = fixture(name)
    let tokens = try JSONDecoder().decode(
      [UInt32].self, from: Data(contentsOf: URL(fileURLWithPath: adapter + "/tokens.json")))
    let reference = try SafetensorsFile(path: adapter + "/reference.safetensors").floats("logits")
    let scale = reference.map(abs).max() ?? 0
    let plain = try denseLogits(DecoderModel(folder: modelFixture(name)), tokens, chunks: [100])
    #expect(largestDifference(plain, reference) > 0.1 * scale)
    try withTemporaryFolder { folder in
      try LowRankMerge(model: modelFixture(name), adapter: adapter).write(to: folder + "/merged")
      let merged = try denseLogits(DecoderModel(folder: folder + "/merged"), tokens, chunks: [100])
      #expect(largestDifference(merged, reference) < 2e-5 * scale)

      // Opened for training and saved again, it is the same adapter.
      let decoder = try TrainableDecoder(folder: modelFixture(name))
      let opened = try LowRankAdapter(decoder, folder: adapter)
      try opened.save(to: folder + "/again")
      let (old, new) = (
        try SafetensorsFile(path: adapter + "/adapter_model.safetensors"),
        try SafetensorsFile(path: folder + "/again/adapter_model.safetensors")
      )
      #expect(old.names.sorted() == new.names.sorted())
      for name in old.names { #expect(try old.floats(name) == new.floats(name)) }
    }
  }
}
