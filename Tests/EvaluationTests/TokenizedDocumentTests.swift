import Evaluation
import Foundation
import RecallTasks
import Testing
import Tokenization

/// Documents as models of several vocabularies read them.
@Suite struct TokenizedDocumentTests {
  private static let folder =
    URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .path + "/Fixtures/tokenizers/"

  static let names = ["bytes", "gpt2", "llama3", "qwen2", "smollm"]

  private func tokenizer(_ name: String) throws -> any Tokenizer {
    name == "bytes"
      ? ByteTokenizer() : try ModelTokenizer.load(folder: Self.folder + name, vocabularySize: 2000)
  }

  /// The number is stated at bytes 15..<27, and asked for at byte 50.
  private static let planted = PlantedDocument(
    text: "And he numbered [41758213] them – in the wilderness [41758213] of Zin, and moved on.",
    planted: [PlantedNumber(number: "41758213", stated: 15, asked: 53)], index: 0, seed: 0)

  /// The document's bytes are all there; up to the question they are what is before it; and the tokens that are looked for in
  /// the cache are those whose bytes are the answer's.
  @Test(arguments: names) func piecesAreTheDocument(_ name: String) throws {
    let tokenizer = try tokenizer(name)
    try Self.planted.check()
    let document = RecallDocument(Self.planted)
    let bytes = Array(document.text.utf8)
    let tokenized = try TokenizedDocument(document, tokenizer)
    #expect(tokenizer.decode(tokenized.tokens) == bytes)
    try #require(tokenized.asked.count == 1 && tokenized.asked[0].questions.count == 1)
    let asked = tokenized.asked[0]
    #expect(tokenizer.decode(Array(tokenized.tokens[..<asked.place])) == Array(bytes[..<53]))
    let question = asked.questions[0]
    #expect(question.prompt.flatMap(tokenizer.bytes(of:)) == Array(" [417".utf8))
    #expect(question.answer.flatMap(tokenizer.bytes(of:)) == Array("58213".utf8))
    let evidence = try #require(question.evidence)
    let text = evidence.flatMap { tokenizer.bytes(of: tokenized.tokens[$0]) }
    #expect(String(decoding: text, as: UTF8.self).contains("58213") && text.count < 12)
    #expect(evidence.allSatisfy { $0 < asked.place })
    if name == "bytes" { #expect(evidence == Array(20..<25)) }
    // What begins a document stands once, at its beginning.
    let opening = try tokenizer.encode([], isBeginning: true)
    #expect(tokenized.tokens.starts(with: opening))
    #expect(opening.allSatisfy { token in tokenized.tokens.count { $0 == token } == 1 })
  }

  @Test func questionsOfOnePlaceAreAskedTogether() throws {
    var document = RecallDocument(Self.planted)
    var other = document.questions[0]
    document.questions.append(other)
    other.place = document.text.utf8.count
    document.questions.insert(other, at: 0)
    let tokenized = try TokenizedDocument(document, ByteTokenizer())
    #expect(tokenized.asked.map(\.place) == [53, document.text.utf8.count])
    #expect(tokenized.asked.map { $0.questions.map(\.index) } == [[1, 2], [0]])
  }

  @Test func whatCannotBeAskedIsRefused() throws {
    func check(_ change: (inout RecallQuestion) -> Void) {
      var document = RecallDocument(Self.planted)
      change(&document.questions[0])
      #expect(throws: EvaluationError.self) { try TokenizedDocument(document, ByteTokenizer()) }
    }
    check { $0.place = 1000 }
    check { $0.place = -1 }
    check { $0.maximumTokens = 0 }
    check { $0.expected = [] }
    check { $0.expected = [""] }
    check { $0.prompt = "" }
    check { $0.answer = "" }
  }
}
