import Foundation
import Testing
import Tokenization

@Suite struct SentencePieceGoldenTests {
  @Test(arguments: ["bpe", "unigram"]) func tokensAndTextAreThePythonPackages(_ model: String) throws {
    let goldens = try JSONDecoder().decode(
      SentencePieceGoldens.self, from: Data(try SentencePieceFixtures.bytes("goldens.json")))
    let cases = try #require(goldens.models[model])
    #expect(cases.count >= 100)
    let tokenizer = try SentencePieceFixtures.tokenizer(model)
    for golden in cases {
      let text = Array(golden.text.utf8)
      #expect(try tokenizer.encode(text, isBeginning: true) == golden.ids, "\(golden.text.debugDescription)")
      #expect(
        String(decoding: tokenizer.decode(golden.ids), as: UTF8.self).utf8.elementsEqual(golden.decoded.utf8),
        "\(golden.text.debugDescription)")
    }
  }

  @Test func whatTheModelsSayOfThemselves() throws {
    let bpe = try SentencePieceFixtures.tokenizer("bpe")
    #expect(bpe.summary == "SentencePiece BPE, 1,000 tokens")
    #expect(bpe.beginOfText == 1 && bpe.endOfText == 2)
    #expect(try SentencePieceFixtures.tokenizer("unigram").summary == "SentencePiece unigram, 1,000 tokens")
  }

  @Test func oneTokenIsItsBytes() throws {
    let tokenizer = try SentencePieceFixtures.tokenizer("bpe")
    #expect(tokenizer.bytes(of: 0) == Array(" \u{2047} ".utf8))
    #expect(tokenizer.bytes(of: 1) == [] && tokenizer.bytes(of: 2) == [])
    for byte in 0..<256 { #expect(tokenizer.bytes(of: UInt32(3 + byte)) == [UInt8(byte)]) }
    #expect(tokenizer.bytes(of: 1000) == [] && tokenizer.bytes(of: .max) == [])
    let the = try tokenizer.encode(Array("a the".utf8), isBeginning: false)
    #expect(the.count == 2 && tokenizer.bytes(of: the[1]) == Array(" the".utf8))
  }
}
