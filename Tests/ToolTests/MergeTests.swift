import Foundation
import Safetensors
import Testing
import ToolSupport
import Transformer

/// `lagoon-train merge` on the repository's model.
@Suite struct MergeTests {
  private let model = Program.root + "/data/kjv-tiny"

  /// A folder of a test's own with `adapter` in it, and the decoder that the adapter is applied to.
  private func withAdapter(_ body: (String, TrainableDecoder) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.path + "/lagoon-merge-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let decoder = try TrainableDecoder(folder: model)
    let adapter = try LowRankAdapter(
      decoder, LowRankConfiguration(rank: 4, alpha: 8, targets: ["q_proj", "down_proj"], trainsNorms: true),
      seed: 7)
    adapter.parameters.withElements { elements in
      for index in elements.indices { elements[index] += Float(index % 7) * 0.01 }
    }
    try adapter.apply()
    try adapter.save(to: folder + "/adapter")
    try body(folder, decoder)
  }

  private func merge(_ arguments: String...) throws -> Program {
    try Program.run("lagoon-train", ["merge"] + arguments)
  }

  @Test func theModelIsTheAdaptersDecoder() throws {
    try withAdapter { folder, decoder in
      let plain = try merge(model, folder + "/adapter", "-o", folder + "/merged")
      #expect(plain.status == 0 && plain.errors.isEmpty, "\(plain.errors)")
      #expect(plain.output.contains("8 matrices updated at rank 4 times 2.0, 9 tensors replaced"))
      let merged = try TrainableDecoder(folder: folder + "/merged")
      for tensor in decoder.weights.layout.tensors {
        #expect(merged.weights[tensor.name] == decoder.weights[tensor.name])
      }

      let json = try merge(
        model, folder + "/adapter", "-o", folder + "/narrow", "--dtype", "original", "--json")
      let report = try #require(JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
      #expect(report["updated_matrices"] as? Int == 8)
      #expect(report["rank"] as? Int == 4)
      #expect(report["scale"] as? Double == 2)
      let narrow = try SafetensorsFile(path: folder + "/narrow/model.safetensors")
      #expect(try narrow.tensor("model.norm.weight").dtype == .bfloat16)
    }
  }

  /// What stands at the output before a command that fails stands there after it.
  @Test func aFailureLeavesWhatWasThere() throws {
    try withAdapter { folder, decoder in
      let files = FileManager.default
      // A norm that bf16 does not have: the failure comes when most of the model is written.
      let wide = try LowRankAdapter(
        decoder, LowRankConfiguration(rank: 1, alpha: 1, targets: ["q_proj"], trainsNorms: true), seed: 7)
      wide.parameters.withElements { elements in
        for index in elements.indices { elements[index] = .greatestFiniteMagnitude }
      }
      try wide.save(to: folder + "/wide")
      func failure(_ adapter: String, _ output: String) throws -> String {
        let run = try merge(model, folder + adapter, "-o", folder + output, "--dtype", "original")
        #expect(run.status == 1)
        return run.errors
      }

      try Data("mine".utf8).write(to: URL(filePath: folder + "/file"))
      try files.createDirectory(atPath: folder + "/empty", withIntermediateDirectories: true)
      try files.createSymbolicLink(atPath: folder + "/link", withDestinationPath: "empty")
      try files.createSymbolicLink(atPath: folder + "/dangling", withDestinationPath: "nowhere")
      try #require(mkfifo(folder + "/fifo", 0o600) == 0)
      let before = try files.contentsOfDirectory(atPath: folder).sorted()
      for adapter in ["/adapter", "/wide"] {
        for output in ["/file", "/link", "/dangling", "/fifo"] {
          #expect(try failure(adapter, output).contains(folder + output + " is there already"))
        }
      }
      #expect(try failure("/wide", "/empty").contains("cannot be saved as BF16"))
      #expect(try failure("/wide", "/new").contains("cannot be saved as BF16"))
      #expect(try String(contentsOfFile: folder + "/file", encoding: .utf8) == "mine")
      #expect(try files.destinationOfSymbolicLink(atPath: folder + "/link") == "empty")
      #expect(try files.contentsOfDirectory(atPath: folder + "/empty").isEmpty)
      #expect(try files.contentsOfDirectory(atPath: folder).sorted() == before)

      // An empty folder is as good as none.
      let run = try merge(model, folder + "/adapter", "-o", folder + "/empty")
      #expect(run.status == 0, "\(run.errors)")
      #expect(
        try files.contentsOfDirectory(atPath: folder + "/empty").sorted()
          == files.contentsOfDirectory(atPath: model).filter {
            $0.hasSuffix("json") || $0.hasSuffix("safetensors")
          }
          .sorted())
    }
  }

  @Test func nothingIsOverwrittenAndMistakesAreSaidPlainly() throws {
    try withAdapter { folder, _ in
      try FileManager.default.copyItem(atPath: model, toPath: folder + "/base")
      let onto = try merge(folder + "/base", folder + "/adapter", "-o", folder + "/base")
      #expect(onto.status == 1 && onto.errors.contains("has files in it"))
      #expect(
        FileManager.default.contentsEqual(
          atPath: folder + "/base/model.safetensors", andPath: model + "/model.safetensors"))

      let missing = try merge(model, folder + "/none", "-o", folder + "/merged")
      #expect(missing.status == 1 && missing.errors.contains("none/adapter_config.json: cannot be read"))
      let config = folder + "/adapter/adapter_config.json"
      let text = try String(contentsOfFile: config, encoding: .utf8)
      try text.replacing("\"r\" : 4", with: "\"r\" : 5").write(
        toFile: config, atomically: true, encoding: .utf8)
      let other = try merge(model, folder + "/adapter", "-o", folder + "/merged")
      #expect(other.status == 1 && other.errors.contains("lora_A.weight: shape [4, "), "\(other.errors)")
      #expect(!FileManager.default.fileExists(atPath: folder + "/merged"))
      #expect(try merge(model, folder + "/adapter").status == 64)
    }
  }
}
