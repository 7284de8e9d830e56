import Foundation
import Testing
import Tokenization

@Suite struct ModelFolderTests {
  private func withFolder(_ body: (String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "lagoon-tokens-\(UUID().uuidString)")
      .path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(folder)
  }

  @Test func aFolderGivesItsTokenizer() throws {
    let folder = Fixtures.folder + "/gpt2"
    let tokenizer = try ModelTokenizer.load(folder: folder, vocabularySize: 2048)
    #expect(tokenizer.summary == "byte-level BPE, 1,401 tokens")
    let error = #expect(throws: TokenizerError.self) {
      try ModelTokenizer.load(folder: folder, vocabularySize: 1400)
    }
    #expect(error?.name == "vocab_size")
  }

  /// A sparse file of 257 MiB takes no room.
  @Test func aFileThatIsTooLargeOrNoFileIsRefused() throws {
    try withFolder { folder in
      let path = folder + "/tokenizer.json"
      #expect(FileManager.default.createFile(atPath: path, contents: nil))
      #expect(truncate(path, 257 << 20) == 0)
      let large = #expect(throws: TokenizerError.self) { try BytePairTokenizer(path: path) }
      #expect(large?.code == .unsupported)
      for missing in [folder, folder + "/none"] {
        let error = #expect(throws: TokenizerError.self) { try BytePairTokenizer(path: missing) }
        #expect(error?.code == .io)
      }
    }
  }

  @Test(arguments: [
    (#"{"chat_template": "{{ messages }}"}"#, true), (#"{"chat_template": [{"name": "default"}]}"#, true),
    (#"{"a": {"chat_template": 1}, "chat_template": null}"#, false),
    (#"{"a": {"chat_template": "x"}}"#, false),
    (#"{"chat_template": "x""#, false), ("", false), (String(repeating: "[", count: 100_000), false),
  ])
  func chatTemplatesAreFound(_ text: String, _ expected: Bool) throws {
    try withFolder { folder in
      #expect(!ModelTokenizer.hasChatTemplate(folder: folder))
      try Data(text.utf8).write(to: URL(filePath: folder + "/tokenizer_config.json"))
      #expect(ModelTokenizer.hasChatTemplate(folder: folder) == expected)
      try Data().write(to: URL(filePath: folder + "/chat_template.jinja"))
      #expect(ModelTokenizer.hasChatTemplate(folder: folder))
    }
  }
}
