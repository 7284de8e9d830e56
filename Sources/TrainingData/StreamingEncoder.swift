import StrictJSON
import Tokenization

/// Encodes a text that comes in blocks, part by part, with the tokens of the whole text; memory does not depend on its length.
///
/// A text of up to ``partBytes`` is encoded whole. A longer one is cut where the tokens around the cut do not change by it: the
/// bytes on both sides (``windowBytes`` each) are encoded apart and together, and only where that gives the same tokens is
/// the text cut. Places between a word and a space or line feed that is not followed by another are tried first, then any
/// place between two characters that are not both spaces. That the same holds in the whole text is certain for bytes, and for
/// every tokenizer that cuts texts into words shorter than the window; of others it is an approximation that no test has
/// caught.
package struct StreamingEncoder {
  /// A part's length, about.
  package static let partBytes = 1 << 20
  /// Bytes that are looked at on each side of a cut.
  package static let windowBytes = 1 << 10
  /// Bytes that may be gone through without finding a place to cut.
  package static let maximumBytes = 64 << 20
  /// Places that are tried in a part.
  private static let tries = 256

  private let encoder: TextEncoder
  private let partBytes: Int
  /// Whether no part has been encoded and the text begins a document.
  private var begins: Bool
  private var pending: [UInt8] = []
  /// Pending bytes that are known to be well-formed.
  private var wellFormed = 0
  /// The pending bytes at which the next cut is looked for.
  private var threshold: Int
  /// Line feeds in what is no longer pending.
  private var linesDone = 0

  /// - Parameter begins: whether the text begins a document.
  package init(_ encoder: TextEncoder, begins: Bool, partBytes: Int = Self.partBytes) {
    self.encoder = encoder
    self.begins = begins
    self.partBytes = partBytes
    threshold = Self.threshold(partBytes)
  }

  /// A window on each side, and what may be half a character.
  private static func threshold(_ partBytes: Int) -> Int { partBytes + 2 * windowBytes + 4 }

  /// Takes the next bytes.
  ///
  /// - Returns: the tokens of what they complete; often none.
  package mutating func append(_ bytes: ArraySlice<UInt8>) throws(BadText) -> [UInt32] {
    pending += bytes
    try validate(isEnd: false)
    var tokens: [UInt32] = []
    while pending.count >= threshold {
      if let cut = try findCut() {
        tokens += try encode(upTo: cut)
        threshold = Self.threshold(partBytes)
      } else {
        guard pending.count < Self.maximumBytes else {
          throw BadText(
            "\(Self.maximumBytes >> 20) MiB without a place where the text can be cut, after line \(linesDone)"
          )
        }
        threshold = min(2 * pending.count, Self.maximumBytes)
      }
    }
    return tokens
  }

  /// Ends the text.
  ///
  /// - Returns: the tokens of the rest.
  package mutating func finish() throws(BadText) -> [UInt32] {
    try validate(isEnd: true)
    return try encode(upTo: pending.count)
  }

  private mutating func encode(upTo cut: Int) throws(BadText) -> [UInt32] {
    let part = cut == pending.count ? pending : Array(pending[..<cut])
    do throws(TokenizerError) {
      let tokens = begins ? Array(try encoder.beginning(part)) : try encoder.continuing(part)
      begins = false
      linesDone += part.count { $0 == UInt8(ascii: "\n") }
      pending.removeFirst(cut)
      wellFormed -= cut
      return tokens
    } catch {
      throw BadText("cannot be tokenised: \(error)", line: linesDone + 1)
    }
  }

  private mutating func validate(isEnd: Bool) throws(BadText) {
    wellFormed = UTF8Scalar.endOfWellFormed(in: pending.span, from: wellFormed)
    // The last bytes may be the beginning of a character.
    guard wellFormed == pending.count || !isEnd && pending.count - wellFormed < 4 else {
      let lines = pending[..<wellFormed].count { $0 == UInt8(ascii: "\n") }
      let byte = String(pending[wellFormed], radix: 16)
      throw BadText("not UTF-8 (byte 0x\(byte))", line: linesDone + lines + 1)
    }
  }

  // MARK: Cuts

  /// The last safe place to cut, as far as it was looked for.
  private func findCut() throws(BadText) -> Int? {
    let range = Self.windowBytes...wellFormed - Self.windowBytes
    if let cut = try findCut(in: range, where: isBeforeWord) { return cut }
    return try findCut(in: range, where: isBetweenCharacters)
  }

  private func findCut(
    in range: ClosedRange<Int>, where isCandidate: (Int) -> Bool
  ) throws(BadText) -> Int? {
    var left = Self.tries
    for cut in range.reversed() where isCandidate(cut) {
      if try isSafe(cut) { return cut }
      left -= 1
      if left == 0 { return nil }
    }
    return nil
  }

  private func isBeforeWord(_ cut: Int) -> Bool {
    (pending[cut] == UInt8(ascii: " ") || pending[cut] == UInt8(ascii: "\n"))
      && !Self.isSpace(pending[cut - 1]) && !Self.isSpace(pending[cut + 1])
  }

  private func isBetweenCharacters(_ cut: Int) -> Bool {
    pending[cut] & 0xC0 != 0x80 && !(Self.isSpace(pending[cut - 1]) && Self.isSpace(pending[cut]))
  }

  private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

  /// Whether the tokens around a place do not change when the text is cut there.
  private func isSafe(_ cut: Int) throws(BadText) -> Bool {
    var start = cut - Self.windowBytes
    while pending[start] & 0xC0 == 0x80 { start += 1 }
    var end = cut + Self.windowBytes
    while end < pending.count, pending[end] & 0xC0 == 0x80 { end -= 1 }
    do throws(TokenizerError) {
      let apart =
        try encoder.continuing(Array(pending[start..<cut]))
        + encoder.continuing(Array(pending[cut..<end]))
      return try apart == encoder.continuing(Array(pending[start..<end]))
    } catch {
      throw BadText("cannot be tokenised: \(error)", line: linesDone + 1)
    }
  }
}
