import Foundation
import TestSupport
import Testing
import Tokenization

/// A small tokenizer file, with parts to be replaced.
private func file(
  top: String = "", added: String = "[]", normalizer: String = "null",
  preTokenizer: String =
    #"{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}"#,
  postProcessor: String = "null", decoder: String = "null", model: String = "",
  vocabulary: String = #""a":0,"b":1,"ab":2,"abab":3,"Ġ":4"#, merges: String = #""a b",["ab","ab"]"#
) -> [UInt8] {
  Array(
    """
    {\(top)"version":"1.0","added_tokens":\(added),"normalizer":\(normalizer),"pre_tokenizer":\(preTokenizer),\
    "post_processor":\(postProcessor),"decoder":\(decoder),\
    "model":{"type":"BPE",\(model)"vocab":{\(vocabulary)},"merges":[\(merges)]}}
    """.utf8)
}

private func sequence(_ parts: String) -> String { #"{"type":"Sequence","pretokenizers":[\#(parts)]}"# }
private let byteLevel = #"{"type":"ByteLevel"}"#
private func added(_ fields: String) -> String { #"[{"id":9,"content":"<x>","special":true\#(fields)}]"# }
private func template(
  _ single: String, _ tokens: String = #"{"<x>":{"id":"<x>","ids":[1],"tokens":["<x>"]}}"#
) -> String {
  #"{"type":"TemplateProcessing","single":\#(single),"pair":[],"special_tokens":\#(tokens)}"#
}

/// A file that must be refused: the code, the field that is named, and words of the message.
private struct Refusal: Sendable, CustomTestStringConvertible {
  var name: String
  var says: String
  var bytes: [UInt8]
  var code = TokenizerError.Code.unsupported
  var testDescription: String { "\(name): \(says)" }
}

private let refusals: [Refusal] = [
  .init(name: "tokenizer.json", says: "expected '{'", bytes: [], code: .malformed),
  .init(name: "tokenizer.json", says: "text after", bytes: file() + [0x20, 0x7D], code: .malformed),
  .init(
    name: "model", says: "missing", bytes: Array(#"{"pre_tokenizer":{"type":"ByteLevel"}}"#.utf8),
    code: .malformed),
  .init(name: "version", says: "2.0", bytes: Array(#"{"version":"2.0"}"#.utf8)),
  .init(name: "extra", says: "1", bytes: file(top: #""extra":1,"#)),
  .init(name: "truncation", says: "{max_length}", bytes: file(top: #""truncation":{"max_length":9},"#)),
  .init(name: "padding", says: "{strategy}", bytes: file(top: #""padding":{"strategy":1},"#)),
  .init(name: "normalizer.type", says: "NFKC", bytes: file(normalizer: #"{"type":"NFKC"}"#)),
  .init(
    name: "normalizer.normalizers[1].type", says: "Lowercase",
    bytes: file(normalizer: #"{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Lowercase"}]}"#)),
  .init(
    name: "normalizer.type", says: "tokenizer.model",
    bytes: file(normalizer: #"{"type":"Prepend","prepend":"▁"}"#),
    code: .byteFallback),
  .init(
    name: "pre_tokenizer", says: "tokenizer.model", bytes: file(preTokenizer: "null"), code: .byteFallback),
  .init(
    name: "pre_tokenizer.type", says: "tokenizer.model", bytes: file(preTokenizer: #"{"type":"Metaspace"}"#),
    code: .byteFallback),
  .init(
    name: "pre_tokenizer", says: "tokenizer.model",
    bytes: file(preTokenizer: sequence(#"{"type":"Digits"}"#)),
    code: .byteFallback),
  .init(
    name: "pre_tokenizer.type", says: "BertPreTokenizer",
    bytes: file(preTokenizer: #"{"type":"BertPreTokenizer"}"#)),
  .init(name: "pre_tokenizer.type", says: "missing", bytes: file(preTokenizer: "{}"), code: .malformed),
  .init(name: "pre_tokenizer", says: "object", bytes: file(preTokenizer: "7"), code: .malformed),
  .init(
    name: "pre_tokenizer.what", says: "true", bytes: file(preTokenizer: #"{"type":"ByteLevel","what":true}"#)),
  .init(
    name: "pre_tokenizer.use_regex", says: "1",
    bytes: file(preTokenizer: #"{"type":"ByteLevel","use_regex":1}"#)),
  .init(
    name: "pre_tokenizer.pretokenizers[1]", says: "after ByteLevel",
    bytes: file(preTokenizer: sequence(byteLevel + #",{"type":"Digits"}"#))),
  .init(
    name: "pre_tokenizer.pretokenizers[0].type", says: "Sequence",
    bytes: file(preTokenizer: sequence(sequence(byteLevel)))),
  .init(
    name: "pre_tokenizer.pretokenizers", says: "at most 16",
    bytes: file(preTokenizer: sequence(Array(repeating: byteLevel, count: 17).joined(separator: ",")))),
  .init(
    name: "pre_tokenizer.pretokenizers[0].behavior", says: "MergedWithNext",
    bytes: file(
      preTokenizer: sequence(
        #"{"type":"Split","pattern":{"Regex":"a"},"behavior":"MergedWithNext","invert":false},"# + byteLevel))
  ),
  .init(
    name: "pre_tokenizer.pretokenizers[0].invert", says: "true",
    bytes: file(
      preTokenizer: sequence(
        #"{"type":"Split","pattern":{"Regex":"a"},"behavior":"Isolated","invert":true},"# + byteLevel))),
  .init(
    name: "pre_tokenizer.pretokenizers[0].pattern.Regex", says: "does not compile",
    bytes: file(
      preTokenizer: sequence(#"{"type":"Split","pattern":{"Regex":"(a"},"behavior":"Isolated"},"# + byteLevel)
    )),
  .init(
    name: "pre_tokenizer.pretokenizers[0].pattern.Regex", says: "does not compile",
    bytes: file(
      preTokenizer: sequence(
        #"{"type":"Split","pattern":{"Regex":""# + String(repeating: "(", count: 30_000)
          + #""},"behavior":"Isolated"},"# + byteLevel))),
  .init(
    name: "pre_tokenizer.pretokenizers[0].pattern.Regex", says: "65536",
    bytes: file(
      preTokenizer: sequence(
        #"{"type":"Split","pattern":{"Regex":""# + String(repeating: "a", count: 65_537)
          + #""},"behavior":"Isolated"},"# + byteLevel))),
  .init(
    name: "pre_tokenizer.pretokenizers[0].pattern.String", says: "\"\"",
    bytes: file(
      preTokenizer: sequence(#"{"type":"Split","pattern":{"String":""},"behavior":"Isolated"},"# + byteLevel))
  ),
  .init(
    name: "pre_tokenizer.pretokenizers[0].pattern", says: "7",
    bytes: file(preTokenizer: sequence(#"{"type":"Split","pattern":7,"behavior":"Isolated"},"# + byteLevel))),
  .init(
    name: "post_processor.type", says: "BertProcessing",
    bytes: file(postProcessor: #"{"type":"BertProcessing"}"#)),
  .init(
    name: "post_processor.single", says: "text itself",
    bytes: file(postProcessor: template(#"[{"SpecialToken":{"id":"<x>","type_id":0}}]"#))),
  .init(
    name: "post_processor.single[0]", says: "\"B\"",
    bytes: file(postProcessor: template(#"[{"Sequence":{"id":"B","type_id":0}}]"#))),
  .init(
    name: "post_processor.single[0].SpecialToken.id", says: "<y>",
    bytes: file(postProcessor: template(#"[{"SpecialToken":{"id":"<y>","type_id":0}}]"#))),
  .init(
    name: "post_processor", says: "id 99",
    bytes: file(
      postProcessor: template(
        #"[{"SpecialToken":{"id":"x","type_id":0}},{"Sequence":{"id":"A","type_id":0}}]"#,
        #"{"x":{"id":"x","ids":[99],"tokens":["x"]}}"#)), code: .malformed),
  .init(
    name: "post_processor.special_tokens[\"x\"].ids", says: "-1",
    bytes: file(postProcessor: template("[]", #"{"x":{"id":"x","ids":[-1],"tokens":["x"]}}"#))),
  .init(name: "decoder.type", says: "WordPiece", bytes: file(decoder: #"{"type":"WordPiece"}"#)),
  .init(name: "model.type", says: "Unigram", bytes: Array(#"{"model":{"type":"Unigram"}}"#.utf8)),
  .init(name: "model.vocab", says: "array", bytes: Array(#"{"model":{"type":"BPE","vocab":[]}}"#.utf8)),
  .init(
    name: "model.vocab", says: "missing", bytes: Array(#"{"model":{"type":"BPE","merges":[]}}"#.utf8),
    code: .malformed),
  .init(
    name: "model.merges", says: "missing", bytes: Array(#"{"model":{"type":"BPE","vocab":{}}}"#.utf8),
    code: .malformed),
  .init(
    name: "model.byte_fallback", says: "tokenizer.model", bytes: file(model: #""byte_fallback":true,"#),
    code: .byteFallback),
  .init(name: "model.dropout", says: "0.1", bytes: file(model: #""dropout":0.1,"#)),
  .init(
    name: "model.continuing_subword_prefix", says: "@@",
    bytes: file(model: #""continuing_subword_prefix":"@@","#)),
  .init(name: "model.end_of_word_suffix", says: "</w>", bytes: file(model: #""end_of_word_suffix":"</w>","#)),
  .init(name: "model.ignore_merges", says: "3", bytes: file(model: #""ignore_merges":3,"#)),
  .init(name: "model.other", says: "null", bytes: file(model: #""other":null,"#)),
  .init(
    name: "model.vocab", says: "\"a\" stands twice", bytes: file(vocabulary: #""a":0,"a":1"#, merges: ""),
    code: .malformed),
  .init(
    name: "model.vocab", says: "id 0 stands twice", bytes: file(vocabulary: #""a":0,"b":0"#, merges: ""),
    code: .malformed),
  .init(
    name: "model.vocab", says: "16777216", bytes: file(vocabulary: #""a":16777216"#, merges: ""),
    code: .malformed),
  .init(
    name: "model.vocab", says: "non-negative", bytes: file(vocabulary: #""a":-1"#, merges: ""),
    code: .malformed),
  .init(name: "model.merges", says: "merge 1", bytes: file(merges: #""a b","ab""#), code: .malformed),
  .init(name: "model.merges", says: "merge 0", bytes: file(merges: #""a b ab""#), code: .malformed),
  .init(name: "model.merges", says: "merge 0", bytes: file(merges: #"["a"]"#), code: .malformed),
  .init(name: "model.merges", says: "merge 0", bytes: file(merges: #"["a","b","ab"]"#), code: .malformed),
  .init(name: "model.merges[1]", says: "\"aba\"", bytes: file(merges: #""a b","ab a""#), code: .malformed),
  .init(
    name: "model.merges[0]", says: "\"x\"", bytes: file(vocabulary: #""a":0,"xa":1"#, merges: #""x a""#),
    code: .malformed),
  .init(name: "added_tokens", says: "'['", bytes: file(added: "{}"), code: .malformed),
  .init(name: "added_tokens[0]", says: "object", bytes: file(added: "[1]"), code: .malformed),
  .init(
    name: "added_tokens[0].content", says: "0 bytes",
    bytes: file(added: #"[{"id":9,"content":"","special":true}]"#)),
  .init(
    name: "added_tokens[0].content", says: "513 bytes",
    bytes: file(added: #"[{"id":9,"content":"\#(String(repeating: "x", count: 513))","special":true}]"#)),
  .init(
    name: "added_tokens[0].id", says: "16777216",
    bytes: file(added: #"[{"id":16777216,"content":"x","special":true}]"#)),
  .init(
    name: "added_tokens[0].id", says: "another",
    bytes: file(added: #"[{"id":3,"content":"x","special":true}]"#), code: .malformed),
  .init(
    name: "added_tokens[0].id", says: "2 in the",
    bytes: file(added: #"[{"id":9,"content":"ab","special":true}]"#), code: .malformed),
  .init(name: "added_tokens[0].lstrip", says: "null", bytes: file(added: added(#","lstrip":null"#))),
  .init(name: "added_tokens[0].mystery", says: "1", bytes: file(added: added(#","mystery":1"#))),
  .init(
    name: "added_tokens[0].special", says: "missing", bytes: file(added: #"[{"id":9,"content":"x"}]"#),
    code: .malformed),
  .init(
    name: "added_tokens[1].content", says: "twice",
    bytes: file(added: #"[{"id":2,"content":"ab","special":true},{"id":2,"content":"ab","special":true}]"#),
    code: .malformed),
]

@Suite struct RefusalTests {
  @Test(arguments: refusals) private func isNamed(_ refusal: Refusal) {
    let error = #expect(throws: TokenizerError.self) { try BytePairTokenizer(refusal.bytes) }
    #expect(error?.name == refusal.name, "\(String(describing: error))")
    #expect(error?.message.contains(refusal.says) == true, "\(String(describing: error))")
    #expect(error?.code == refusal.code)
  }

  @Test func theSmallFileItselfIsRead() throws {
    let tokenizer = try BytePairTokenizer(file())
    #expect(tokenizer.summary == "byte-level BPE, 5 tokens")
    #expect(try tokenizer.encode(Array("abababab ab".utf8), isBeginning: true) == [3, 3, 4, 2])
    #expect(tokenizer.bytes(of: 4) == [0x20])
    #expect(tokenizer.bytes(of: 5).isEmpty && tokenizer.bytes(of: .max).isEmpty)
    // Dropout and the like in the forms that change nothing.
    _ = try BytePairTokenizer(
      file(
        model:
          #""dropout":0,"unk_token":"a","continuing_subword_prefix":"","end_of_word_suffix":null,"fuse_unk":true,"#
          + #""byte_fallback":false,"ignore_merges":true,"#))
  }

  @Test func bytesWithoutATokenAreAnErrorNotALoss() throws {
    let tokenizer = try BytePairTokenizer(file())
    let error = #expect(throws: TokenizerError.self) {
      try tokenizer.encode(Array("abc".utf8), isBeginning: true)
    }
    #expect(error?.code == .invalidText)
    #expect(error?.message.contains("byte 99") == true)
  }

  @Test func aPatternThatBacktracksWithoutEndIsAnError() throws {
    let tokenizer = try BytePairTokenizer(
      file(
        preTokenizer: sequence(
          #"{"type":"Split","pattern":{"Regex":"(a|aa|aaa)+(?=b)c"},"behavior":"Isolated"},{"type":"ByteLevel"}"#
        )))
    let text = [UInt8](repeating: UInt8(ascii: "a"), count: 2000)
    let error = #expect(throws: TokenizerError.self) { try tokenizer.encode(text, isBeginning: true) }
    #expect(error?.code == .invalidText)
    // The error leaves nothing behind.
    #expect(try tokenizer.encode(Array("ab".utf8), isBeginning: true) == [4, 2])
  }

  /// Whatever happens to a file, reading it gives a tokenizer that works or an error.
  @Test func mutationsNeverTrap() throws {
    let whole = try Fixtures.bytes("qwen2").prefix(3000) + #""zz":1}, "merges": []}}"#.utf8
    let sources = [
      Array(whole), file(added: added(""), postProcessor: template("[]")), try Fixtures.bytes("prefixed"),
    ]
    let interesting = Array(#"{}[]",:\-0129eE nulltruefalse"#.utf8) + [0, 0xFF, 0xC4, 0xA0]
    var generator = SeededGenerator(11)
    var refused = 0
    let rounds = longTests ? 20_000 : 1500
    for round in 0..<rounds {
      var bytes = sources[round % 3]
      for _ in 0...round % 4 {
        let at = Int.random(in: 0..<bytes.count, using: &generator)
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: bytes[at] = interesting.randomElement(using: &generator) ?? 0
        case 1: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
        case 2: bytes.removeSubrange(at..<min(bytes.count, at + Int.random(in: 1..<40, using: &generator)))
        default: bytes.insert(interesting.randomElement(using: &generator) ?? 0, at: at)
        }
        if bytes.isEmpty { bytes = [0] }
      }
      do throws(TokenizerError) {
        let tokenizer = try BytePairTokenizer(bytes)
        let ids = (try? tokenizer.encode(Array("Hé |12 <left>".utf8), isBeginning: true)) ?? []
        #expect(ids.allSatisfy { $0 < tokenizer.vocabularySize })
      } catch {
        refused += 1
      }
    }
    #expect(refused > rounds / 3)
  }
}
