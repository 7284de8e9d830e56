import Tokenization

/// A tokenizer, and what it puts around a whole text, so that a text can be encoded in parts.
package struct TextEncoder: Sendable {
  package let tokenizer: any Tokenizer
  private let addsSpecialTokens: Bool
  private let prefix: [UInt32]
  private let suffix: [UInt32]

  /// - Parameter addsSpecialTokens: whether what belongs around a text is put there.
  /// - Throws: what encoding a letter throws.
  package init(_ tokenizer: any Tokenizer, addsSpecialTokens: Bool) throws(TokenizerError) {
    self.tokenizer = tokenizer
    self.addsSpecialTokens = addsSpecialTokens
    let around = try tokenizer.encode([], isBeginning: true)
    guard !around.isEmpty else {
      (prefix, suffix) = ([], [])
      return
    }
    // The longest end of it that stands behind a letter: the letter's token is not one of them.
    let letter = try tokenizer.encode([UInt8(ascii: "a")], isBeginning: true)
    let split = (0...around.count).first {
      letter.starts(with: around[..<$0]) && letter.ends(with: around[$0...])
    }
    guard let split, letter.count > around.count else {
      throw TokenizerError(.unsupported, "what the tokenizer puts around a text depends on the text")
    }
    (prefix, suffix) = (Array(around[..<split]), Array(around[split...]))
  }

  /// The ids of a text that begins a document, without what belongs at the document's end.
  package func beginning(_ text: [UInt8]) throws(TokenizerError) -> ArraySlice<UInt32> {
    try tokenizer.encode(text, isBeginning: true).dropLast(suffix.count)
      .dropFirst(addsSpecialTokens ? 0 : prefix.count)
  }

  /// The ids of a text that goes on.
  package func continuing(_ text: [UInt8]) throws(TokenizerError) -> [UInt32] {
    try tokenizer.encode(text, isBeginning: false)
  }

  /// What belongs at a document's end.
  package var end: [UInt32] { addsSpecialTokens ? suffix : [] }
}

extension Array where Element: Equatable {
  fileprivate func ends(with suffix: ArraySlice<Element>) -> Bool { self.suffix(suffix.count) == suffix }
}
