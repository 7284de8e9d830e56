import Foundation
import Testing
import Tokenization

@Suite struct SentencePieceFolderTests {
  private func withFolder<Result>(_ configuration: String?, _ body: (String) throws -> Result) throws
    -> Result
  {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try Data(try SentencePieceFixtures.bytes("bpe.model")).write(
      to: folder.appendingPathComponent("tokenizer.model"))
    if let configuration {
      try Data(configuration.utf8).write(to: folder.appendingPathComponent("tokenizer_config.json"))
    }
    return try body(folder.path)
  }

  @Test func aFolderWithOneIsLoaded() throws {
    let ids = try withFolder(nil) {
      try ModelTokenizer.load(folder: $0, vocabularySize: 1000).encode(Array("a".utf8), isBeginning: true)
    }
    #expect(ids.first == 1 && ids.count == 2)
  }

  /// Folders of Llama 2 have the model in both formats: tokenizer.json is then no byte-level BPE, and the model itself is read.
  @Test func aTranscriptOfTheModelGivesWayToIt() throws {
    let transcript = #"{"model": {"type": "BPE", "byte_fallback": true, "vocab": {"a": 0}, "merges": []}}"#
    try withFolder(nil) { folder in
      try Data(transcript.utf8).write(to: URL(fileURLWithPath: folder + "/tokenizer.json"))
      let tokenizer = try ModelTokenizer.load(folder: folder, vocabularySize: 1000)
      #expect(tokenizer.summary.hasPrefix("SentencePiece"))
      try FileManager.default.removeItem(atPath: folder + "/tokenizer.model")
      let error = #expect(throws: TokenizerError.self) {
        try ModelTokenizer.load(folder: folder, vocabularySize: 1000)
      }
      #expect(error?.code == .byteFallback)
      #expect(error?.message.contains("tokenizer.model") == true)
      // Any other refusal of tokenizer.json stands, whatever lies beside it.
      try Data("{}".utf8).write(to: URL(fileURLWithPath: folder + "/tokenizer.json"))
      try Data(try SentencePieceFixtures.bytes("bpe.model")).write(
        to: URL(fileURLWithPath: folder + "/tokenizer.model"))
      #expect(throws: TokenizerError.self) { try ModelTokenizer.load(folder: folder, vocabularySize: 1000) }
    }
  }

  @Test func theConfigurationDecidesWhatIsAdded() throws {
    let none = try withFolder(#"{"add_bos_token": false, "add_eos_token": true, "chat_template": ["x"]}"#) {
      try ModelTokenizer.sentencePiece(folder: $0).options
    }
    #expect(!none.addsBeginOfText && none.addsEndOfText)
    let usual = try withFolder(#"{"add_bos_token": null}"#) {
      try ModelTokenizer.sentencePiece(folder: $0).options
    }
    #expect(usual == SentencePieceTokenizer.Options())
  }

  @Test(arguments: ["", "[]", "{", #"{"add_bos_token": "yes"}"#, #"{"add_eos_token": 1}"#])
  func aConfigurationThatSaysNothingClearIsRefused(_ configuration: String) throws {
    let error = try withFolder(configuration) { folder in
      #expect(throws: TokenizerError.self) { try ModelTokenizer.sentencePiece(folder: folder) }
    }
    #expect(error?.code == .malformed && error?.path?.hasSuffix("tokenizer_config.json") == true)
  }

  @Test func aModelOfFewerTokensDoesNotTakeIt() throws {
    let error = try withFolder(nil) { folder in
      #expect(throws: TokenizerError.self) { try ModelTokenizer.load(folder: folder, vocabularySize: 999) }
    }
    #expect(error?.code == .unsupported)
  }

  @Test func aMissingFileIsAnInputError() {
    let error = #expect(throws: TokenizerError.self) {
      try ModelTokenizer.sentencePiece(folder: "/nonexistent")
    }
    #expect(error?.code == .io && error?.path == "/nonexistent/tokenizer.model")
  }
}
