import Foundation
import FuzzDriver
import Tokenization

/// Any bytes as a `tokenizer.json`: a tokenizer that encodes or refuses texts, or a `TokenizerError`.
@main enum FuzzTokenizer {
  /// Words, spaces, digits, marks that compose, a byte that is no UTF-8, and names of special tokens.
  private static let text =
    Array("In the  beginning\n\t1234 \u{E9}e\u{301} 😀 it's <s></s><|end|>\0".utf8) + [0xFF, 0x20]

  static func main() {
    exit(
      fuzz { bytes, count in
        do throws(TokenizerError) {
          let tokenizer = try BytePairTokenizer(Array(UnsafeBufferPointer(start: bytes, count: count)))
          for isBeginning in [true, false] {
            let ids = try tokenizer.encode(FuzzTokenizer.text, isBeginning: isBeginning)
            precondition(ids.allSatisfy { $0 < tokenizer.vocabularySize })
            _ = tokenizer.decode(ids)
          }
        } catch {
          precondition(!error.description.isEmpty)
        }
        return 0
      })
  }
}
