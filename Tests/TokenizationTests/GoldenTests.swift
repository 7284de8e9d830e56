import Foundation
import StrictJSON
import Testing
import Tokenization

/// Ids and text of huggingface/tokenizers 0.23.3 for some seven hundred hostile texts.
@Suite struct GoldenTests {
  @Test(arguments: ["gpt2", "llama3", "qwen2", "smollm", "prefixed"])
  func idsAreTheReferences(_ name: String) throws {
    let goldens = try JSONValue([UInt8](Data(contentsOf: URL(filePath: "\(Fixtures.folder)/goldens.json"))))
    let texts = try goldens.member("texts").elements()
    let golden = try goldens.member("tokenizers").member(name)
    let ids = try golden.member("ids").elements()
    let prefix = try golden.member("prefix").ids()
    let suffix = try golden.member("suffix").ids()
    let tokenizer = try Fixtures.tokenizer(name)
    #expect(texts.count == ids.count && texts.count > 700)
    for (index, text) in texts.enumerated() {
      let text = try text.text()
      let expected = try ids[index].ids()
      let whole = try tokenizer.encode(Array(text.utf8), isBeginning: true)
      #expect(whole == prefix + expected + suffix, "\(index) \(text.debugDescription)")
      // A prefix space is the beginning's alone; the reference gives one to every text.
      if name != "prefixed" {
        let continued = try tokenizer.encode(Array(text.utf8), isBeginning: false)
        #expect(continued == expected, "\(index) \(text.debugDescription)")
      }
      let decoded = try? golden.member("decoded").member(String(index))
      if decoded == .null { continue }
      let bytes = tokenizer.decode(whole)
      #expect(bytes == Array(try (decoded?.text() ?? text).utf8), "\(index) \(text.debugDescription)")
    }
  }

  /// The reference decodes an added token as if it were written in the byte alphabet; here it is its own text.
  @Test func addedTokensBeyondASCIIDecodeToThemselves() throws {
    let tokenizer = try Fixtures.tokenizer("qwen2")
    let ids = try tokenizer.encode(Array("a caf\u{E9}<!>".utf8), isBeginning: true)
    #expect(tokenizer.decode(ids.suffix(1)) == Array("caf\u{E9}<!>".utf8))
  }
}
