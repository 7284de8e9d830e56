import StrictJSON

/// Finds added tokens in a text: the leftmost, of those the longest.
struct AddedTokenSearch: Sendable {
  /// A stretch of text, and the token that it is, if any.
  struct Piece: Hashable, Sendable {
    var range: Range<Int>
    var token: UInt32?
  }

  private let tokens: [AddedToken]
  /// The node behind a node's byte, by `node << 8 | byte`; the root is 0.
  private var edges: [UInt64: Int] = [:]
  /// The index of the token that ends at a node.
  private var ends: [Int: Int] = [:]
  private var begins = [Bool](repeating: false, count: 256)

  /// - Parameter tokens: none is empty. Of those with equal content the last counts.
  init(_ tokens: [AddedToken]) {
    self.tokens = tokens
    var nodes = 1
    for (index, token) in tokens.enumerated() {
      var node = 0
      for byte in token.content {
        let edge = UInt64(node) << 8 | UInt64(byte)
        if edges[edge] == nil {
          edges[edge] = nodes
          nodes += 1
        }
        node = edges[edge] ?? 0
      }
      ends[node] = index
      if let first = token.content.first { begins[Int(first)] = true }
    }
  }

  var isEmpty: Bool { tokens.isEmpty }

  /// Cuts a well-formed text. What a token strips belongs to its piece. In the order of the text; a token that another one's
  /// stripping ran over still counts, so pieces that are tokens may overlap.
  func pieces(of text: Span<UInt8>) -> [Piece] {
    var pieces: [Piece] = []
    /// Where the text that is in no piece yet begins.
    var done = 0
    var at = 0
    while at < text.count {
      guard begins[Int(text[at])], let (index, length) = longestMatch(in: text, at: at) else {
        at += 1
        continue
      }
      let token = tokens[index]
      var start = at
      var end = at + length
      at = end
      if token.isSingleWord,
        Self.isWord(scalarBefore(start, in: text)) || Self.isWord(scalarAt(end, in: text))
      {
        continue
      }
      if token.stripsLeft {
        while start > done, let scalar = scalarBefore(start, in: text), scalar.properties.isWhitespace {
          start -= UTF8.width(scalar)
        }
      }
      if token.stripsRight {
        while let scalar = scalarAt(end, in: text), scalar.properties.isWhitespace {
          end += UTF8.width(scalar)
        }
      }
      if done < start { pieces.append(Piece(range: done..<start, token: nil)) }
      pieces.append(Piece(range: start..<end, token: token.id))
      done = end
    }
    if done < text.count { pieces.append(Piece(range: done..<text.count, token: nil)) }
    return pieces
  }

  private func longestMatch(in text: Span<UInt8>, at start: Int) -> (index: Int, length: Int)? {
    var node = 0
    var at = start
    var best: (index: Int, length: Int)?
    while at < text.count, let next = edges[UInt64(node) << 8 | UInt64(text[at])] {
      node = next
      at += 1
      if let index = ends[node] { best = (index, at - start) }
    }
    return best
  }

  private func scalarAt(_ at: Int, in text: Span<UInt8>) -> Unicode.Scalar? {
    guard at < text.count else { return nil }
    return UTF8Scalar(in: text, at: at).flatMap { Unicode.Scalar($0.value) }
  }

  private func scalarBefore(_ at: Int, in text: Span<UInt8>) -> Unicode.Scalar? {
    var start = at - 1
    while start >= 0, text[start] & 0xC0 == 0x80 { start -= 1 }
    return start >= 0 ? scalarAt(start, in: text) : nil
  }

  /// `\w` of UTS #18: alphabetic, marks, decimal digits, connectors and joiners.
  private static func isWord(_ scalar: Unicode.Scalar?) -> Bool {
    guard let properties = scalar?.properties else { return false }
    switch properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: return true
    default: return properties.isAlphabetic || properties.isJoinControl
    }
  }
}
