import Foundation
import Testing
import Tokenization

@Suite struct ByteTokenizerTests {
  @Test func everyByteIsItsOwnToken() throws {
    let tokenizer = try ModelTokenizer.load(folder: "/nonexistent", vocabularySize: 256)
    let every = (0...255).map { UInt8($0) }
    #expect(try tokenizer.encode(every, isBeginning: true) == (0..<256).map { UInt32($0) })
    #expect(tokenizer.decode(try tokenizer.encode(every, isBeginning: true)) == every)
    #expect(tokenizer.decode([72, 256, 105]) == Array("Hi".utf8))
  }

  @Test func aFolderWithoutOneIsRefused() {
    let error = #expect(throws: TokenizerError.self) {
      try ModelTokenizer.load(folder: "/nonexistent", vocabularySize: 40)
    }
    #expect(error?.message.contains("40 tokens") == true)
  }
}
