import Foundation
import Safetensors
import Testing
import Transformer

/// Folders that decoders in training are saved to.
@Suite struct SavedFolderTests {
  /// f32 comes back bit for bit, under the same names, from any source type; the folder is a model to everyone.
  @Test(arguments: ["llama-linear-biases", "qwen3-qknorm-sharded", "mistral-headdim"])
  func savedFoldersAreTheSameModel(_ name: String) throws {
    let source = modelFixture(name)
    let decoder = try TrainableDecoder(folder: source)
    let original = try SafetensorsCheckpoint(folder: source)
    decoder.weights.withElements { $0[3] = 0x1.234566p-3 }
    try withTemporaryFolder { parent in
      let folder = parent + "/made"
      try decoder.save(to: folder)
      let again = try TrainableDecoder(folder: folder)
      for tensor in decoder.weights.layout.tensors {
        #expect(again.weights[tensor.name] == decoder.weights[tensor.name])
      }
      let file = try SafetensorsFile(path: folder + "/model.safetensors")
      #expect(file.names.sorted() == original.names)
      for name in file.names { #expect(try file.tensor(name).dtype == .float32) }
      // The one field that says what the weights are follows them; every other byte stays.
      let config = try String(contentsOfFile: source + "/config.json", encoding: .utf8)
      let saved = try String(contentsOfFile: folder + "/config.json", encoding: .utf8)
      let type = try #require(try original.tensor(original.names[0]).dtype.name)
      #expect(config.contains("dtype\": \"\(type)\""))
      #expect(saved == config.replacing("dtype\": \"\(type)\"", with: "dtype\": \"float32\""))
      #expect(try DecoderModel(folder: folder).configuration == decoder.configuration)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).count == 2)
      #expect(file.metadata == ["format": "pt"])

      // Rounded to the original type, over the folder that is there: what was not changed has its old bytes.
      try decoder.save(to: folder, as: .original)
      let narrow = try SafetensorsFile(path: folder + "/model.safetensors")
      for name in narrow.names {
        let (saved, old) = (try narrow.tensor(name), try original.tensor(name))
        #expect(saved.dtype == old.dtype)
        #expect(saved.bytes.elementsEqual(old.bytes) == (name != "model.embed_tokens.weight"))
      }
      #expect(try String(contentsOfFile: folder + "/config.json", encoding: .utf8) == config)
      let rounded = try narrow.floats("model.embed_tokens.weight")[3]
      switch try narrow.tensor("model.embed_tokens.weight").dtype {
      case .bfloat16: #expect(rounded == BFloat16.round(0x1.234566p-3))
      case .float16: #expect(rounded == Float(Float16(0x1.234566p-3)))
      default: #expect(rounded == 0x1.234566p-3)
      }
    }
  }

  @Test func weightsBeyondTheirTypeAreNotSaved() throws {
    let source = modelFixture("mistral-headdim")
    let decoder = try TrainableDecoder(folder: source)
    decoder.weights.withElements { $0[0] = 70_000 }
    try withTemporaryFolder { parent in
      let error = #expect(throws: ModelError.self) { try decoder.save(to: parent + "/made", as: .original) }
      #expect(error?.name == "model.embed_tokens.weight")
      #expect(!FileManager.default.fileExists(atPath: parent + "/made"))
      try decoder.save(to: parent + "/made")
    }
  }

  /// Whatever a tokenizer or text generation needs comes along, also when the folder that was read is gone; nothing else does.
  @Test func theTokenizerComesAlong() throws {
    let companions = [
      "generation_config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json",
      "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja",
    ]
    try withTemporaryFolder { parent in
      let source = parent + "/source"
      try FileManager.default.createDirectory(atPath: source, withIntermediateDirectories: true)
      try TinyModel().write(to: source)
      for name in companions {
        let text = name == "generation_config.json" ? "{\"eos_token_id\": 3}" : "{\"file\": \"\(name)\"}"
        try text.write(toFile: source + "/" + name, atomically: true, encoding: .utf8)
      }
      try "x".write(toFile: source + "/notes.txt", atomically: true, encoding: .utf8)
      let decoder = try TrainableDecoder(folder: source)
      try FileManager.default.moveItem(atPath: source, toPath: parent + "/kept")
      for name in companions {
        try FileManager.default.copyItem(atPath: parent + "/kept/" + name, toPath: parent + "/" + name)
      }
      try FileManager.default.removeItem(atPath: parent + "/kept")
      try decoder.save(to: parent + "/made")
      for name in companions {
        #expect(
          FileManager.default.contentsEqual(atPath: parent + "/" + name, andPath: parent + "/made/" + name),
          "\(name)")
      }
      let names = try FileManager.default.contentsOfDirectory(atPath: parent + "/made")
      #expect(Set(names) == Set(companions + ["config.json", "model.safetensors"]))
      #expect(try ModelConfiguration(folder: parent + "/made").endTokens == [3])
    }
  }

  /// A folder that the decoder was read from can be written over; progress tells every element.
  @Test func aFolderCanReplaceItself() throws {
    try withTemporaryFolder { folder in
      try TinyModel().write(to: folder)
      let decoder = try TrainableDecoder(folder: folder)
      decoder.weights.withElements { $0[0] = 0.125 }
      var told: [Int] = []
      try decoder.save(to: folder) { told.append($0) }
      #expect(told == decoder.weights.layout.tensors.map(\.range.upperBound))
      let again = try TrainableDecoder(folder: folder)
      for tensor in decoder.weights.layout.tensors {
        #expect(again.weights[tensor.name] == decoder.weights[tensor.name])
      }
    }
  }

  @Test func whereNoFolderCanBeAnErrorSaysSo() throws {
    let decoder = try RandomDecoder.variants[0].load()
    try withTemporaryFolder { folder in
      try "a file".write(toFile: folder + "/a", atomically: true, encoding: .utf8)
      for path in [folder + "/a", folder + "/a/b"] {
        let error = #expect(throws: ModelError.self) { try decoder.save(to: path) }
        #expect(error?.code == .io)
        #expect(error?.path?.hasPrefix(path) == true)
      }
    }
  }
}

extension TensorDtype {
  /// As `config.json` has it.
  fileprivate var name: String? {
    switch self {
    case .float32: "float32"
    case .bfloat16: "bfloat16"
    case .float16: "float16"
    default: nil
    }
  }
}
